// The packed model in use: how fast it generates, and what it writes, each beside the original.
#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"

namespace tercet::sections {

using nlohmann::json;
using page::element;
using page::Html;

namespace {

constexpr std::size_t kMostSamples = 12;

std::string tokens_per_second(double value) {
  return format_fixed(value, 1);
}

std::vector<Html> speed_row(const std::string& title, const std::string& form, const DecodeSpeed& speed,
                            const DecodeRate& rate) {
  const std::string key = "speed/" + form + "/";
  const auto ratio = form == "packed" ? std::nullopt : speed.speedup(form);
  return {title,
          figure(result_key(key + "median"), rate.median, tokens_per_second),
          figure(result_key(key + "slowest"), rate.slowest, tokens_per_second),
          figure(result_key(key + "fastest"), rate.fastest, tokens_per_second),
          figure(result_key(key + "bytes_per_token"), static_cast<double>(rate.bytes_per_token), in_bytes),
          figure(result_key("speed/speedup/" + form), ratio, as_ratio)};
}

Html sample(const std::string& title, const std::string& key, const std::string& text) {
  return element("div", {},
                 element("h3", {}, title) + element("pre", {{"data-key", "/provenance/samples/" + key}},
                                                    page::shortened(text, kLongestSample)));
}

std::string length_text(const json& sample) {
  const auto tokens = number_in(sample, "tokens");
  if (!tokens) return "";
  const auto ended = sample.find("ended");
  const bool by_itself = ended != sample.end() && *ended == true;
  return ", " + format_fixed(*tokens, 0) + " tokens" + (by_itself ? ", then it ends the text" : "");
}

}  // namespace

Html speed_part(const RunView& run) {
  if (!run.results || !run.results->speed) return {};
  const DecodeSpeed& speed = *run.results->speed;
  const Html title = element("h3", {}, "How fast it generates");
  if (!speed.refusal.empty())
    return page::wide(title + page::note("Not measured: " + page::shortened(speed.refusal, 1000) + "."));
  const Html table = page::table(
      {{"decoding, tokens/s", false}, {"median"}, {"slowest"}, {"fastest"}, {"read per token"}, {"faster by"}},
      {speed_row("packed", "packed", speed, speed.packed), speed_row("original, fp32", "fp32", speed, speed.fp32),
       speed_row("original, bf16", "bf16", speed, speed.bf16)});
  const std::string about = std::to_string(speed.rounds) + " rounds in turns, " + std::to_string(speed.new_tokens) +
                            " tokens one at a time after " + std::to_string(speed.prompt_tokens) + "; " +
                            page::shortened(speed.machine(), 300) + "; " + speed.cache(run.results->speed_baseline) +
                            ". Packed weights are multiplied as they are stored.";
  return page::wide(title + table + page::note(about));
}

Html samples_part(const RunView& run) {
  if (!run.record.provenance.contains(kSamplesKey)) return {};
  const json& samples = run.record.provenance.at(kSamplesKey);
  const json& texts = list_in(samples, "texts");
  std::vector<Html> parts = {page::wide(sample("Prompt", "prompt", text_in(samples, "prompt")))};
  for (std::size_t i = 0; i < texts.size() && i < kMostSamples; ++i) {
    const std::string title = page::shortened(text_in(texts[i], "model"), 60) + length_text(texts[i]);
    parts.push_back(sample(title, "texts/" + std::to_string(i) + "/text", text_in(texts[i], "text")));
  }
  if (parts.size() == 1) return {};
  return page::grid(parts) + page::note(
                                 "What each model writes after the prompt, the likeliest token each time. A small "
                                 "difference in the figures can turn the text at any token.");
}

}  // namespace tercet::sections
