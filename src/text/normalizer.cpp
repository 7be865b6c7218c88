#include "text/normalizer.hpp"

#include <map>

#include "text/limits.hpp"
#include "text/regex.hpp"
#include "text/unicode.hpp"

namespace tercet::text {
namespace {

std::string_view strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    unsigned length = 0;
    if (!is_white_space(code_point_at(text, 0, &length))) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    const std::size_t last = last_code_point_start(text);
    if (!is_white_space(code_point_at(text, last))) break;
    text = text.substr(0, last);
  }
  return text;
}

void require_within(std::size_t size, std::size_t limit) {
  if (size > limit) throw DataError("cannot normalize a text", "its replacements make it too long");
}

std::string replace_matches(std::string_view text, const Regex& regex, const std::string& content, std::size_t limit) {
  std::string out;
  std::size_t copied = 0;
  regex.for_each_match(text, [&](Match match) {
    out.append(text, copied, match.begin - copied);
    require_within(out.size() + content.size(), limit);
    out += content;
    copied = match.end;
  });
  out.append(text, copied);
  return out;
}

}  // namespace

std::string replace_all(std::string_view text, std::string_view from, std::string_view to, std::size_t limit) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  std::size_t copied = 0;
  for (std::size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, copied)) {
    out.append(text, copied, at - copied);
    require_within(out.size() + to.size(), limit);
    out += to;
    copied = at + from.size();
  }
  out.append(text, copied);
  return out;
}

Normalizer::Normalizer(const JsonView& config) {
  if (!config.is_null()) add(config, 0);
}

std::string Normalizer::operator()(std::string_view text) const {
  const std::size_t limit = kMostGrowth * text.size() + kAlwaysGrows;
  std::string result(text);
  for (const Step& step : steps_) {
    result = step(result, limit);
    require_within(result.size(), limit);
  }
  return result;
}

void Normalizer::add(const JsonView& config, int depth) {
  static const std::map<std::string, NormalForm> kForms = {
      {"NFC", NormalForm::kNfc}, {"NFD", NormalForm::kNfd}, {"NFKC", NormalForm::kNfkc}, {"NFKD", NormalForm::kNfkd}};
  if (depth > kDeepestNesting) config.fail("normalizers are nested too deeply");
  if (steps_.size() >= kMostSteps) config.fail("there are more than " + std::to_string(kMostSteps) + " steps");
  const std::string type = config.type();
  if (const auto form = kForms.find(type); form != kForms.end()) {
    steps_.push_back([form = form->second](std::string_view text, std::size_t) { return normalize(text, form); });
  } else if (type == "Sequence") {
    const JsonView parts = config.at("normalizers");
    for (std::size_t i = 0; i < parts.size(); ++i) add(parts.at(i), depth + 1);
  } else if (type == "Prepend") {
    const std::string prefix = config.at("prepend").string();
    steps_.push_back(
        [prefix](std::string_view text, std::size_t) { return text.empty() ? "" : prefix + std::string(text); });
  } else if (type == "Replace") {
    add_replace(config);
  } else if (type == "Lowercase") {
    steps_.push_back([](std::string_view text, std::size_t) { return lower_case(text); });
  } else if (type == "Strip") {
    const bool left = config.boolean_or("strip_left", true);
    const bool right = config.boolean_or("strip_right", true);
    steps_.push_back(
        [left, right](std::string_view text, std::size_t) { return std::string(strip(text, left, right)); });
  } else {
    config.fail("normalizer type '" + type + "' is not supported");
  }
}

void Normalizer::add_replace(const JsonView& config) {
  const JsonView pattern = config.at("pattern");
  const std::string content = config.at("content").string();
  if (pattern.has("String")) {
    const std::string from = pattern.at("String").string();
    if (from.empty()) pattern.fail("it is empty");
    steps_.push_back(
        [from, content](std::string_view text, std::size_t limit) { return replace_all(text, from, content, limit); });
  } else {
    const Regex regex(pattern.at("Regex").string(), config.file());
    steps_.push_back([regex, content](std::string_view text, std::size_t limit) {
      return replace_matches(text, regex, content, limit);
    });
  }
}

}  // namespace tercet::text
