#include "text/pre_tokenizer.hpp"

#include <map>

#include "text/limits.hpp"
#include "text/split_steps.hpp"
#include "text/unicode.hpp"

namespace tercet::text {
namespace {

// Radford et al. 2019, encoder.py of GPT-2.
constexpr const char* kGpt2Pattern = R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

SplitBehavior behavior_of(const JsonView& name) {
  static const std::map<std::string, SplitBehavior> kBehaviors = {
      {"Isolated", SplitBehavior::kIsolated},
      {"Removed", SplitBehavior::kRemoved},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const auto found = kBehaviors.find(name.string());
  if (found == kBehaviors.end()) name.fail("split behavior '" + name.string() + "' is not known");
  return found->second;
}

std::shared_ptr<const PreTokenizerStep> split_step(const JsonView& config) {
  const JsonView pattern = config.at("pattern");
  const std::string expression =
      pattern.has("String") ? escape_regex(pattern.at("String").string()) : pattern.at("Regex").string();
  return std::make_shared<SplitStep>(Regex(expression, config.file()), behavior_of(config.at("behavior")),
                                     config.boolean_or("invert", false));
}

std::shared_ptr<const PreTokenizerStep> digits_step(const JsonView& config) {
  const bool individual = config.boolean_or("individual_digits", false);
  return std::make_shared<SplitStep>(Regex(R"(\p{N})", config.file()),
                                     individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false);
}

}  // namespace

PrependScheme prepend_scheme(const JsonView& metaspace) {
  const std::string name = metaspace.string_or("prepend_scheme", "always");
  if (!metaspace.boolean_or("add_prefix_space", true) && name != "never") {
    metaspace.fail("add_prefix_space does not match prepend_scheme '" + name + "'");
  }
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  metaspace.at("prepend_scheme").fail("prepend scheme '" + name + "' is not known");
}

std::string metaspace_marker(const JsonView& metaspace) {
  const std::string marker = metaspace.string_or("replacement", std::string(kSentencePieceSpace));
  unsigned length = 0;
  if (!marker.empty()) code_point_at(marker, 0, &length);
  if (marker.empty() || length != marker.size()) metaspace.at("replacement").fail("one character is needed");
  return marker;
}

PreTokenizer::PreTokenizer(const JsonView& config) {
  if (!config.is_null()) add(config, 0);
}

void PreTokenizer::add(const JsonView& config, int depth) {
  if (depth > kDeepestNesting) config.fail("pre-tokenizers are nested too deeply");
  if (steps_.size() >= kMostSteps) config.fail("there are more than " + std::to_string(kMostSteps) + " steps");
  const std::string type = config.type();
  if (byte_level_ && type != "Sequence") config.fail("a pre-tokenizer after ByteLevel is not supported");
  if (type == "Sequence") {
    const JsonView parts = config.at("pretokenizers");
    for (std::size_t i = 0; i < parts.size(); ++i) add(parts.at(i), depth + 1);
  } else if (type == "ByteLevel") {
    if (config.boolean_or("add_prefix_space", true)) steps_.push_back(std::make_shared<PrefixSpaceStep>());
    if (config.boolean_or("use_regex", true)) {
      steps_.push_back(
          std::make_shared<SplitStep>(Regex(kGpt2Pattern, config.file()), SplitBehavior::kIsolated, false));
    }
    byte_level_ = true;
  } else if (type == "Split") {
    steps_.push_back(split_step(config));
  } else if (type == "Digits") {
    steps_.push_back(digits_step(config));
  } else if (type == "Metaspace") {
    steps_.push_back(std::make_shared<MetaspaceStep>(metaspace_marker(config), prepend_scheme(config),
                                                     config.boolean_or("split", true)));
  } else {
    config.fail("pre-tokenizer type '" + type + "' is not supported");
  }
}

void PreTokenizer::run(std::size_t step, std::string_view text, bool at_start, const PieceSink& sink) const {
  if (text.empty()) return;
  if (step == steps_.size()) return sink(text, at_start);
  steps_[step]->split(text, at_start, [&](std::string_view piece, bool first) { run(step + 1, piece, first, sink); });
}

}  // namespace tercet::text
