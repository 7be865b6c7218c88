#include <ATen/ops/empty.h>

#include <algorithm>

#include "contents.hpp"
#include "hf_files.hpp"

namespace tercet {

ArtifactBytes artifact_bytes(const PackedModel& model) {
  NamedTensors halves;
  for (const PackedTensor& tensor : model.tensors) {
    std::vector<std::int64_t> shape = tensor.stored.shape;
    if (tensor.input_first) std::reverse(shape.begin(), shape.end());
    halves.emplace_back(tensor.name, at::empty(shape, at::TensorOptions(at::kHalf).device(at::kMeta)));
  }
  return {torch_file_bytes(packed_content(model)), torch_file_bytes(dequantized_content(model, halves)),
          safetensors_bytes(halves, exported_provenance(model, ""))};
}

}  // namespace tercet
