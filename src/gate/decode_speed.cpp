#include "tercet/gate/decode_speed.hpp"

#include <cmath>

#include "tercet/base/text.hpp"

namespace tercet {

std::string DecodeSpeed::form(const std::string& baseline) const {
  if (baseline != "faster") return baseline;
  return bf16.median > fp32.median ? "bf16" : "fp32";
}

const DecodeRate& DecodeSpeed::original(const std::string& baseline) const {
  return form(baseline) == "bf16" ? bf16 : fp32;
}

std::optional<double> DecodeSpeed::speedup(const std::string& baseline) const {
  const double ratio = packed.median / original(baseline).median;
  return refusal.empty() && std::isfinite(ratio) && ratio > 0 ? std::optional(ratio) : std::nullopt;
}

std::string DecodeSpeed::machine() const {
  const std::string name = processor.empty() ? "a processor of unknown name" : processor;
  if (device != "cpu") return name + " (" + device + ")";
  return name + ", kernels " + instruction_set + ", " + std::to_string(threads) +
         (threads == 1 ? " thread" : " threads");
}

std::string DecodeSpeed::cache(const std::string& baseline) const {
  if (last_level_cache == 0) return "the size of the last-level cache is not known";
  const std::string size = "the last-level cache of " + format_bytes(last_level_cache);
  if (original(baseline).bytes_per_token <= last_level_cache)
    return "all weights fit into " + size + ", so this is a figure of computing and not of memory";
  if (packed.bytes_per_token <= last_level_cache)
    return "the packed weights fit into " + size + ", those of the original do not";
  return "the weights do not fit into " + size + " and come from memory";
}

}  // namespace tercet
