// Where the tensors of a packed model belong, by their Hugging Face names.
#pragma once

#include <string>
#include <utility>

#include "tercet/artifact/packed_model.hpp"

namespace tercet {

bool is_block_matrix(const PackedTensor& tensor);  // a matrix multiplied inside a block: "query" ... "down"
bool is_packed(const PackedTensor& tensor);        // one of those, on a grid
bool is_head(const PackedTensor& tensor);          // an output head of its own
bool is_trits(const StoredTensor& stored);         // ternary or ternary5
std::string module_of(const std::string& tensor);  // "model.layers.0.mlp.up_proj" of "….weight"
std::string last_part(const std::string& module);  // "up_proj"
// {"model.layers.0.", "mlp.up_proj.weight"}; the first is empty outside the blocks.
std::pair<std::string, std::string> split_block(const std::string& tensor);

// The dequantized values under the tensor's Hugging Face layout, fp16, contiguous.
at::Tensor dequantized_half(const PackedTensor& tensor);

}  // namespace tercet
