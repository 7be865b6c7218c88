// A SentencePiece model brings a table of normalization rules (NormalizerSpec.precompiled_charsmap): a double array
// that the library follows for each byte of a text without looking at its bounds. So they are looked at before, and so
// are pieces that would end the program.
#pragma once

#include <string>
#include <string_view>

namespace tercet::text {

// Why the model must not be given to the library; "" when it may. `model_proto` is a whole tokenizer.model.
std::string problem_with_model(std::string_view model_proto);

}  // namespace tercet::text
