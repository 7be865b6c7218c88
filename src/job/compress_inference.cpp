// The stage of the compress job that uses the packed model as its readers will: how fast it generates beside the
// original, and what each of its forms writes.
#include "compress_job.hpp"
#include "decoding.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/text.hpp"
#include "tercet/base/utf8.hpp"
#include "tercet/generate/generate.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/report.hpp"

namespace tercet::job {
namespace {

nlohmann::json sample_of(const std::string& name, const Decoder& model, const Tokenizer& tokenizer,
                         const std::string& prompt, std::int64_t tokens) {
  GenerationOptions options;
  options.tokens = tokens;
  const Generated made = generate(model, tokenizer, prompt, options);
  return {{"model", name}, {"text", lossy_utf8(made.text)}, {"tokens", made.ids.size()}, {"ended", made.ended}};
}

}  // namespace

void CompressJob::generate_text() {
  if (config_.gates.speedup.severity != "off") measure_decoding();
  if (config_.report.sample_tokens == 0) return;
  if (streams_weights(config_)) {
    log::info("    no samples: every token would stream the whole model");
    return;
  }
  write_samples();
}

std::string CompressJob::found_once(const std::string& unit, const std::function<std::string()>& compute) {
  const std::string key = unit + "/" + packed_hash_.substr(0, 16);
  if (const auto known = work_->find(key)) return std::string(*known);
  return on_root(comm_, [&] {
    const std::string found = compute();
    work_->add(key, found);
    return found;
  });
}

// On rank 0 alone, with the threads that it has; the others sleep, so that the machine is as quiet as the job can make
// it.
void CompressJob::measure_decoding() {
  const std::string found = found_once("speed/" + std::to_string(config_.gates.speedup_seconds), [&] {
    DecodeSpeed speed;
    speed.refusal = streams_weights(config_) ? "model.weights is streamed, and decoding wants all of them in memory"
                                             : speed_refusal(*student_, runtime_.device());
    if (speed.refusal.empty()) {
      const LoadedModel packed =
          load_model(directory_.staged() / kPackedFile, {}, runtime_.device(), WeightForm::kPacked);
      speed = measure_decode_speed(packed.decoder, original_->decoder, config_.gates.speedup_seconds);
    }
    return to_json(speed).dump();
  });
  speed_ = speed_from_json(nlohmann::json::parse(found));
  if (!speed_->refusal.empty()) {
    log::warn("inference speed is not measured: " + speed_->refusal);
    return;
  }
  record("speed/packed/decode", 0, speed_->packed.median, "tokens/s");
  record("speed/fp32/decode", 0, speed_->fp32.median, "tokens/s");
  record("speed/bf16/decode", 0, speed_->bf16.median, "tokens/s");
  log::info("    decoding " + format_fixed(speed_->packed.median, 1) + " tokens/s packed, the original " +
            format_fixed(speed_->fp32.median, 1) + " in fp32, " + format_fixed(speed_->bf16.median, 1) + " in bf16");
}

void CompressJob::write_samples() {
  const Tokenizer& tokenizer = *original_->tokenizer;
  const std::string prompt = sample_prompt(config_.report, windows_, tokenizer);
  const std::int64_t tokens = config_.report.sample_tokens;
  if (prompt.empty()) {
    log::info("    no samples: the held-out text begins with nothing that can be shown");
    return;
  }
  const std::string unit = "samples/" + std::to_string(tokens) + "/" + sha256_hex(prompt).substr(0, 16);
  const std::string found = found_once(unit, [&] {
    const std::string& device = runtime_.device();
    const auto of = [&](const std::string& name, const Decoder& model) {
      return sample_of(name, model, tokenizer, prompt, tokens);
    };
    auto texts = nlohmann::json::array();
    texts.push_back(of("original", original_->decoder));
    texts.push_back(
        of("packed", load_model(directory_.staged() / kPackedFile, {}, device, WeightForm::kPacked).decoder));
    texts.push_back(of("dequantized", load_model(directory_.staged() / "hf", {}, device).decoder));
    std::vector<std::int32_t> ids;
    tokenizer.encode(prompt, ids);
    return nlohmann::json{{"prompt", prompt}, {"prompt_tokens", ids.size()}, {"tokens", tokens}, {"texts", texts}}
        .dump();
  });
  samples_ = nlohmann::json::parse(found);
  run_file_.provenance(kSamplesKey, samples_);
}

}  // namespace tercet::job
