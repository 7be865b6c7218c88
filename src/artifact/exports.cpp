// What is made from the packed model for other programs: the dequantized state dict and the Hugging Face folder.
#include <algorithm>

#include "contents.hpp"
#include "hf_files.hpp"
#include "model_parts.hpp"
#include "stored_check.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

// Every parameter of a model as fp16 under its Hugging Face name and layout, dequantized when it is written.
struct Dequantized {
  explicit Dequantized(const PackedModel& model) {
    for (const PackedTensor& tensor : model.tensors) {
      std::vector<std::int64_t> shape = tensor.stored.shape;
      if (tensor.input_first) std::reverse(shape.begin(), shape.end());
      tensors.emplace_back(tensor.name, values.add(shape, at::kHalf, [&tensor] { return dequantized_half(tensor); }));
    }
  }
  DeferredTensors values;
  NamedTensors tensors;
};

}  // namespace

TorchDict dequantized_content(const PackedModel& model, const NamedTensors& tensors) {
  const PackedTensor* tied = tied_embedding(model);
  TorchDict state;
  at::Tensor head;
  for (const auto& [name, tensor] : tensors) {
    if (tied != nullptr && name == tied->name) head = tensor;
    state.emplace_back(name, tensor);
  }
  if (tied != nullptr) state.emplace_back(exported_head_name(model.config.family), head);
  return state;
}

void write_dequantized_pt(const fs::path& file, const PackedModel& model) {
  const Dequantized dequantized(model);
  write_torch_file(file, dequantized_content(model, dequantized.tensors), dequantized.values);
}

void write_hf_folder(const fs::path& folder, const PackedModel& model, const fs::path& model_folder,
                     const fs::path& tokenizer_folder, std::uint64_t shard_bytes) {
  write_hf_frame(folder, hf_config(model.config, "float16"), model.config, model_folder, tokenizer_folder);
  const Dequantized dequantized(model);
  write_hf_weights(folder, dequantized.tensors, dequantized.values, shard_bytes, exported_provenance(model, ""));
}

}  // namespace tercet
