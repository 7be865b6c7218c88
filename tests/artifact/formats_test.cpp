// Every format in files: written, read back, verified, and refused when damaged.
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros_like.h>

#include <functional>

#include "support.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/model_io/torch_file.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

using test::ScratchFolder;
using test::tiny_mixture;

TEST(Formats, AreReadBackAsTheyWereWritten) {
  const ScratchFolder folder;
  const PackedModel model = tiny_mixture();
  write_packed_model(folder / "model.pt", model);
  const PackedModel read = read_packed_model(folder / "model.pt");
  ASSERT_EQ(read.tensors.size(), model.tensors.size());
  for (std::size_t i = 0; i < model.tensors.size(); ++i) {
    const StoredTensor &one = model.tensors[i].stored, &other = read.tensors[i].stored;
    EXPECT_EQ(other.spec.format, one.spec.format);
    EXPECT_EQ(other.spec.symmetric, one.spec.symmetric);
    EXPECT_EQ(other.zero_points.defined(), one.zero_points.defined());
    EXPECT_EQ(stored_bytes(other), stored_bytes(one));
    EXPECT_TRUE(at::equal(dequantize(other), dequantize(one))) << model.tensors[i].name;
  }
}

TEST(Formats, PassTheIndependentCheck) {
  const ScratchFolder folder;
  test::write_artifacts(folder.path(), tiny_mixture());
  EXPECT_EQ(verify_artifacts(folder.path()), std::vector<std::string>());
}

TEST(Formats, HaveTheBytesThatAPlanCounts) {
  const ScratchFolder folder;
  const PackedModel model = tiny_mixture();
  write_packed_model(folder / "model.pt", model);
  PackedModel planned = model;
  for (PackedTensor& tensor : planned.tensors) tensor.stored = unfilled(tensor.stored.shape, tensor.stored.spec);
  EXPECT_EQ(artifact_bytes(planned).packed, std::filesystem::file_size(folder / "model.pt"));
}

// Artifacts from before there were other formats say of int8 only its name.
TEST(Formats, ReadInt8AsTheFirstArtifactsHaveIt) {
  const ScratchFolder folder;
  const PackedModel model = test::tiny_llama();
  write_packed_model(folder / "model.pt", model);
  TorchValue root = read_torch_file(folder / "model.pt");
  for (auto& [key, value] : std::get<TorchDict>(root)) {
    if (key != "quantization") continue;
    for (auto& [name, description] : std::get<TorchDict>(value)) {
      auto& entries = std::get<TorchDict>(description);
      const bool int8 = std::get<std::string>(entries.front().second) == "int8";
      std::erase_if(entries, [&](const auto& entry) {
        const bool added = entry.first == "granularity" || entry.first == "group_size" || entry.first == "rule";
        return entry.first == "symmetric" || (int8 && added);
      });
    }
  }
  write_torch_file(folder / "old.pt", root);
  const PackedModel read = read_packed_model(folder / "old.pt");
  EXPECT_TRUE(at::equal(dequantize(read.tensors[0].stored), dequantize(model.tensors[0].stored)));
  EXPECT_EQ(read.tensors[0].stored.spec.granularity, Granularity::kChannel);
}

// Writes a sound mixture, lets `damage` change one of its tensors, and reads it.
std::string refusal(const std::string& section, const std::string& role,
                    const std::function<void(at::Tensor&)>& damage) {
  const ScratchFolder folder;
  const PackedModel model = tiny_mixture();
  std::string name;
  for (const PackedTensor& tensor : model.tensors) {
    if (tensor.role == role) name = tensor.name;
  }
  write_packed_model(folder / "model.pt", model);
  TorchValue root = read_torch_file(folder / "model.pt");
  for (auto& [key, value] : std::get<TorchDict>(root)) {
    if (key != section) continue;
    for (auto& [each, tensor] : std::get<TorchDict>(value)) {
      if (each != name) continue;
      at::Tensor changed = std::get<at::Tensor>(tensor).clone();
      damage(changed);
      tensor = changed;
    }
  }
  write_torch_file(folder / "damaged.pt", root);
  const std::string message = test::message_of<DataError>([&] { read_packed_model(folder / "damaged.pt"); });
  EXPECT_MENTIONS(message, name);
  return message;
}

TEST(Formats, RefuseDamagedCodes) {
  EXPECT_MENTIONS(refusal("state_dict", "value", [](at::Tensor& codes) { codes[0][1] = 243; }), "code 3");
  EXPECT_MENTIONS(refusal("state_dict", "head", [](at::Tensor& codes) { codes[0][0] = 0xff; }), "code 3");
  // 12 columns of 3 bits end in the middle of the fifth byte; so do the 12 trits of ternary5 in the third
  EXPECT_MENTIONS(refusal("state_dict", "key", [](at::Tensor& codes) { codes[0][4] = 0xff; }), "last byte");
  EXPECT_MENTIONS(refusal("state_dict", "value", [](at::Tensor& codes) { codes[0][2] = 9; }), "code 3");
}

TEST(Formats, RefuseDamagedScalesAndZeroPoints) {
  EXPECT_MENTIONS(refusal("scale_factors", "value", [](at::Tensor& scales) { scales.neg_(); }), "negative");
  EXPECT_MENTIONS(refusal("scale_factors", "key", [](at::Tensor& scales) { scales.neg_(); }), "negative");
  EXPECT_MENTIONS(refusal("scale_factors", "query", [](at::Tensor& scales) { scales.fill_(40000); }), "too large");
  EXPECT_MENTIONS(refusal("scale_factors", "query", [](at::Tensor& scales) { scales.fill_(NAN); }), "NaN");
  EXPECT_MENTIONS(refusal("zero_points", "key", [](at::Tensor& zeros) { zeros[0][0] = 8; }), "zero point 8");
  EXPECT_MENTIONS(refusal("zero_points", "key", [](at::Tensor& zeros) { zeros = zeros.flatten(); }), "shape");
}

TEST(Formats, RefuseZeroPointsWhereThereAreNone) {
  const ScratchFolder folder;
  PackedModel model = tiny_mixture();
  for (PackedTensor& tensor : model.tensors) {
    if (tensor.role == "query") tensor.stored.zero_points = at::zeros_like(tensor.stored.scales, at::kByte);
  }
  EXPECT_MENTIONS(test::message_of<DataError>([&] { write_packed_model(folder / "model.pt", model); }), "symmetric");
}

}  // namespace
}  // namespace tercet
