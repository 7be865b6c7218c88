#include "gate/evidence.hpp"

#include <cstdio>
#include <limits>

#include "tercet/base/text.hpp"

namespace tercet::gate {
namespace {

const std::string kNotMeasured = "not measured";

double ratio(std::uint64_t baseline, std::uint64_t packed) {
  if (packed == 0 || baseline == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(baseline) / static_cast<double>(packed);
}

std::string ratio_part(const std::string& name, std::uint64_t baseline, std::uint64_t packed) {
  return name + " " + format_count(baseline) + " B = " + format_fixed(ratio(baseline, packed), 2) + "x";
}

// "845.2 tokens/s (769.1 to 913.0)"
std::string rate_part(const DecodeRate& rate) {
  return format_fixed(rate.median, 1) + " tokens/s (" + format_fixed(rate.slowest, 1) + " to " +
         format_fixed(rate.fastest, 1) + ")";
}

}  // namespace

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string percent(double share) {
  return format_fixed(100.0 * share, 1) + " %";
}

std::string compression_evidence(const GatesSection& rules, const Measurements& measured, double target) {
  if (measured.packed_bytes == 0) return "the packed file was " + kNotMeasured;
  const std::uint64_t packed = measured.packed_bytes;
  std::string text = "the packed file has " + format_count(packed) + " B; against ";
  text += ratio_part("fp32", measured.fp32_bytes, packed) + ", ";
  text += ratio_part("fp16", measured.fp16_bytes, packed) + ", ";
  text += ratio_part("the original file", measured.file_bytes, packed) + "; the gate counts ";
  text += rules.compression_baseline + " and wants " + short_number(target) + "x";
  if (rules.compression.threshold == 0) {
    text += ", the target for " + size_category(measured.parameters) + " models (";
    text += format_count(static_cast<std::uint64_t>(measured.parameters)) + " parameters)";
  }
  return text;
}

std::string sparsity_evidence(const Measurements& measured) {
  if (!measured.sparsity) return "sparsity was " + kNotMeasured;
  return percent(*measured.sparsity) + " of the ternary weights are zero";
}

std::string accuracy_evidence(const GatesSection& rules, const Measurements& measured) {
  const bool of_task = !rules.accuracy_task.empty();
  const std::string what = of_task ? rules.accuracy_metric + " of " + rules.accuracy_task : "next-token accuracy";
  if (!measured.accuracy_before || !measured.accuracy_after) return what + " was " + kNotMeasured;
  return what + (of_task ? ": " : " on held-out text: ") + format_fixed(*measured.accuracy_before, 4) + " before, " +
         format_fixed(*measured.accuracy_after, 4) + " after (" +
         percent(*measured.accuracy_after / *measured.accuracy_before) + " of it kept)";
}

std::string perplexity_evidence(const Measurements& measured) {
  if (!measured.perplexity_before || !measured.perplexity_after) return "perplexity was " + kNotMeasured;
  const double before = *measured.perplexity_before, after = *measured.perplexity_after;
  return "perplexity on held-out text: " + format_fixed(before, 3) + " before, " + format_fixed(after, 3) + " after (" +
         (after >= before ? "+" : "") + percent((after - before) / before) + ")";
}

std::string agreement_evidence(const Measurements& measured) {
  if (!measured.agreement) return "agreement of the dequantized with the packed model was " + kNotMeasured;
  return "the dequantized and the packed model predict the same token at " +
         format_fixed(100.0 * *measured.agreement, 3) + " % of the positions";
}

std::string speedup_evidence(const GatesSection& rules, const Measurements& measured) {
  if (!measured.speed) return "inference speed was " + kNotMeasured;
  const DecodeSpeed& speed = *measured.speed;
  if (!speed.refusal.empty()) return "inference speed was " + kNotMeasured + ": " + speed.refusal;
  const auto ratio = speed.speedup(rules.speedup_baseline);
  return "decoding " + rate_part(speed.packed) + " packed, the original " + rate_part(speed.fp32) + " in fp32 and " +
         rate_part(speed.bf16) + " in bf16; " +
         (ratio ? format_fixed(*ratio, 2) + "x of " + speed.form(rules.speedup_baseline) : "no ratio") +
         (rules.speedup_baseline == "faster" ? ", the faster one" : "") + "; " + std::to_string(speed.rounds) +
         " rounds of " + std::to_string(speed.new_tokens) + " tokens on " + speed.machine() + "; " +
         speed.cache(rules.speedup_baseline);
}

}  // namespace tercet::gate
