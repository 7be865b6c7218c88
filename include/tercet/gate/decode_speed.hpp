// How fast a model generates token by token: packed, and as the original in fp32 and in bf16, measured in turns on one
// machine. The job fills it in; gate and reports read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tercet {

struct DecodeRate {
  double median = 0, slowest = 0, fastest = 0;  // tokens/s, of all rounds
  std::uint64_t bytes_per_token = 0;            // of weights, that a token reads
};

struct DecodeSpeed {
  std::string refusal = {};  // why it was not measured, e.g. a format without kernels; then nothing else is known
  DecodeRate packed = {};    // the packed file, multiplied as it is stored
  DecodeRate fp32 = {}, bf16 = {};
  std::int64_t rounds = 0, prompt_tokens = 0, new_tokens = 0;
  std::string device = {}, processor = {};  // "cpu" | "cuda:0"; its name, "" where it is not known
  std::string instruction_set = {};         // of the kernels on a CPU
  int threads = 0;                          // of a CPU
  std::uint64_t last_level_cache = 0;       // bytes; 0: not known

  // `baseline`: "fp32", "bf16", or "faster" for the faster of them. Says which it is.
  std::string form(const std::string& baseline) const;
  const DecodeRate& original(const std::string& baseline) const;
  std::optional<double> speedup(const std::string& baseline) const;  // packed / original; nullopt: not measured

  // In words: "AMD EPYC, kernels avx512, 1 thread", and whether the weights come from the cache.
  std::string machine() const;
  std::string cache(const std::string& baseline) const;
};

}  // namespace tercet
