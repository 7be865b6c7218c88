// Small packed models, and folders of artifacts.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tercet/artifact/packed_model.hpp"

namespace tercet::test {

// Values that repeat from run to run and fill the range of a weight.
at::Tensor some_weight(std::vector<std::int64_t> shape, int seed);

PackedModel tiny_llama(bool tied = true);  // all parameters of a model of one layer: transformers loads it
PackedModel tiny_mixture();                // tiny_llama(false) with a matrix in nearly every format there is
PackedModel tiny_gpt2();                   // all parameters, Conv1D weights input_first

// Writes every file that verify_artifacts looks at, with a true compression_metadata.json.
void write_artifacts(const std::filesystem::path& folder, const PackedModel& model);
void write_metadata(const std::filesystem::path& folder);

}  // namespace tercet::test
