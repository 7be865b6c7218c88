// The pickle of a packed model, over the storages of a sound one.
#include <ATen/core/Tensor.h>
#include <ATen/ops/linspace.h>

#include "artifact/packed_reader.hpp"
#include "model_io/pickle_reader.hpp"
#include "model_io/torch_archive.hpp"
#include "target.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/quant/format.hpp"

namespace tercet::fuzz {
namespace {

const std::string kConfig =
    R"({"model_type": "llama", "vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,)"
    R"( "num_attention_heads": 2, "tie_word_embeddings": true})";

PackedModel small_model() {
  PackedModel model;
  model.config = parse_model_config(kConfig, "config.json");
  const at::Tensor weight = at::linspace(-1, 1, 64, at::kFloat).view({8, 8});
  FormatSpec ternary{number_format("ternary"), Granularity::kGroup, 4, ScaleRule::kAbsmean};
  FormatSpec int8{number_format("int8"), Granularity::kChannel, 0, ScaleRule::kMinMax};
  FormatSpec half{number_format("float16"), Granularity::kTensor, 0, ScaleRule::kAbsmean};
  model.tensors.push_back({"model.embed_tokens.weight", "embedding", false, store(weight, int8, {})});
  model.tensors.push_back({"model.layers.0.mlp.up_proj.weight", "up", false, store(weight, ternary, {})});
  model.tensors.push_back({"model.norm.weight", "norm", false, store(weight[0], half, {})});
  model.provenance = {{"source", "fuzz"}};
  return model;
}

TorchArchive& sound_archive() {
  static TorchArchive archive = [] {
    const auto file = scratch() / "packed.pt";
    write_packed_model(file, small_model());
    return TorchArchive(file);
  }();
  return archive;
}

std::vector<std::string> seeds() {
  return {sound_archive().pickle()};
}

void read(std::string_view input) {
  const auto storage = [](const std::string& key, c10::ScalarType type, std::int64_t elements) {
    return sound_archive().storage(key, type, elements);
  };
  const TorchValue value = PickleReader(input, "data.pkl", storage).read();
  for (const PackedTensor& tensor : packed_model_of(value, "packed.pt", 4096).tensors) (void)dequantize(tensor.stored);
}

const Registration kTarget({"packed_model", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
