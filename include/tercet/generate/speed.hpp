// How fast models generate on this machine, side by side.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tercet/model/decoder.hpp"

namespace tercet {

struct SpeedOptions {
  std::int64_t prompt_tokens = 128;
  std::int64_t new_tokens = 64;
  std::int64_t repetitions = 5;
};

// Of several repetitions.
struct Rate {
  double median = 0, slowest = 0, fastest = 0;  // tokens/s
};

struct Speed {
  Rate prefill, decode;
  std::uint64_t bytes_per_token = 0;  // of weights, that decoding a token reads
};

// Takes turns, one repetition of each after the other, so that other work on the machine meets all alike. The first
// round is not counted. Throws DataError where a model has not positions enough.
std::vector<Speed> measure_speed(const std::vector<const Decoder*>& models, const SpeedOptions& options);

// Options with which measure_speed takes about `seconds`, found by short passes of each model. A model so slow that a
// few tokens take longer is given those.
SpeedOptions options_within(const std::vector<const Decoder*>& models, double seconds);

std::uint64_t bytes_read_per_token(const Decoder& model);

// The model with its matrices in bf16, as a user would run it to save memory. Shares all other parameters with `model`.
Decoder in_bfloat16(Decoder model);

struct MemoryFigures {
  double read_bytes_per_s = 0;  // one pass over 256 MB by all threads of this rank, or by the GPU, best of several
  std::uint64_t last_level_cache = 0;  // bytes; 0: not known
};
MemoryFigures measure_memory(const std::string& device = "cpu");
std::uint64_t last_level_cache(const std::string& device = "cpu");  // bytes; 0: not known
std::string processor_name(const std::string& device = "cpu");      // "" where the machine does not tell

}  // namespace tercet
