// Planned bytes against files that were written.
#include <gtest/gtest.h>

#include "support.hpp"
#include "support/scratch_folder.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using test::ScratchFolder;
using test::tiny_gpt2;
using test::tiny_llama;

PackedModel without_content(PackedModel model) {
  for (PackedTensor& tensor : model.tensors) tensor.stored = unfilled(tensor.stored.shape, tensor.stored.spec);
  return model;
}

NamedTensors as_halves(const PackedModel& model) {
  NamedTensors halves;
  for (const PackedTensor& tensor : model.tensors) {
    const at::Tensor value = dequantize(tensor.stored).to(at::kHalf);
    halves.emplace_back(tensor.name, tensor.input_first ? value.t().contiguous() : value);
  }
  return halves;
}

void expect_bytes_of_files(const PackedModel& model) {
  const ScratchFolder folder;
  write_packed_model(folder / "packed.pt", model);
  write_dequantized_pt(folder / "dequantized.pt", model);
  write_safetensors(folder / "model.safetensors", as_halves(model));
  const ArtifactBytes planned = artifact_bytes(without_content(model));
  EXPECT_EQ(planned.packed, fs::file_size(folder / "packed.pt"));
  EXPECT_EQ(planned.dequantized, fs::file_size(folder / "dequantized.pt"));
  EXPECT_EQ(planned.safetensors, fs::file_size(folder / "model.safetensors"));
}

TEST(ArtifactBytes, AreThoseOfTheFilesOfASmallModel) {
  expect_bytes_of_files(tiny_llama());
  expect_bytes_of_files(tiny_llama(false));
  expect_bytes_of_files(tiny_gpt2());
}

TEST(ArtifactBytes, AreThoseOfFilesWithTensorsOfEveryLengthModulo64) {
  PackedModel model = tiny_llama();
  for (int i = 0; i < 70; ++i) {
    const at::Tensor value = test::some_weight({1, 90 + i}, i);
    model.tensors.push_back({"extra." + std::to_string(i), "bias", false, store(value, FormatSpec{})});
  }
  expect_bytes_of_files(model);
}

}  // namespace
}  // namespace tercet
