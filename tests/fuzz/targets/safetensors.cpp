#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include "target.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet::fuzz {
namespace {

std::vector<std::string> seeds() {
  const auto file = scratch() / "seed.safetensors";
  write_safetensors(file, {{"a", at::arange(6, at::kFloat).view({2, 3})}, {"b", at::arange(3, at::kHalf)}});
  const std::string plain = content_of(file);
  write_safetensors(file, {{"none", at::zeros({0, 4}, at::kBFloat16)}, {"id", at::arange(2, at::kLong)}},
                    {{"by", "us"}});
  return {plain, content_of(file)};
}

void read(std::string_view input) {
  const auto source = open_safetensors(scratch_file("model.safetensors", input));
  for (const auto& [name, info] : source->tensors()) (void)source->tensor(name).clone();
}

const Registration kTarget({"safetensors", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
