// model.safetensors.index.json beside two sound shards.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include "target.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet::fuzz {
namespace {

void write_shards() {
  static const bool kWritten = [] {
    std::filesystem::create_directories(scratch() / "sharded");
    write_safetensors(scratch() / "sharded/one.safetensors", {{"a", at::arange(3, at::kFloat)}});
    write_safetensors(scratch() / "sharded/two.safetensors", {{"b", at::arange(2, at::kFloat)}});
    return true;
  }();
  (void)kWritten;
}

std::vector<std::string> seeds() {
  return {R"({"metadata": {"total_size": 20}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})",
          R"({"weight_map": {"a": "../one.safetensors", "b": "/two.safetensors"}})"};
}

void read(std::string_view input) {
  write_shards();
  scratch_file("sharded/model.safetensors.index.json", input);
  const auto source = open_weights(scratch() / "sharded");
  for (const auto& [name, info] : source->tensors()) (void)source->tensor(name).clone();
}

const Registration kTarget({"weight_index", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
