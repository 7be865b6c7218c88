// Text from a model, one token at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tercet/model/decoder.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet {

struct SamplingOptions {
  double temperature = 0;   // logits are divided by it; 0: always the likeliest token
  std::int64_t top_k = 0;   // among that many of the likeliest; 0: all
  double top_p = 1;         // and the fewest that together have this probability (Holtzman et al. 2020)
  std::uint64_t seed = 42;  // the token at a place of the text is a function of (seed, place, logits)
};

// The next token of logits [vocab]. Of equal logits the lower id comes first. Throws NumericError when one is NaN.
std::int32_t sample(const at::Tensor& logits, const SamplingOptions& options, std::uint64_t place);

struct GenerationOptions {
  SamplingOptions sampling;
  std::int64_t tokens = 128;  // at most; fewer where the model has no more positions, or ends the text
  bool stop_at_end = true;    // at the tokenizer's end-of-text token, which is not part of the result
};

struct Generated {
  std::vector<std::int32_t> prompt, ids;  // `ids` follow the prompt
  std::string text;                       // of `ids`
  bool ended = false;                     // by the end-of-text token
  double prefill_s = 0, decode_s = 0;     // the prompt; the tokens after the first
};

// The ids of a prompt. Throws DataError for one that is empty, no UTF-8, or leaves the model no position.
std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const std::string& prompt, const ModelConfig& config);

// `piece` gets each part of the text as soon as it is whole UTF-8. Throws as prompt_ids().
Generated generate(const Decoder& model, const Tokenizer& tokenizer, const std::string& prompt,
                   const GenerationOptions& options, const std::function<void(std::string_view piece)>& piece = {});

}  // namespace tercet
