// A zip file with a pickle and storages, as a whole.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include "target.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet::fuzz {
namespace {

std::vector<std::string> seeds() {
  const auto file = scratch() / "seed.pt";
  const at::Tensor shared = at::arange(6, at::kFloat);
  write_torch_file(file, TorchDict{{"w", shared.view({2, 3}).clone()},
                                   {"v", shared},
                                   {"part", shared.slice(0, 1, 3)},
                                   {"list", TorchList{1.5, true, std::int64_t{-3}, std::string("é"), std::monostate{}}},
                                   {"half", at::arange(2, at::kHalf)}});
  const std::string mixed = content_of(file);
  write_torch_file(file, TorchDict{{"w", at::arange(2, at::kFloat)}});
  return {mixed, content_of(file)};
}

void use(const TorchValue& value) {
  if (const auto* tensor = std::get_if<at::Tensor>(&value)) (void)tensor->clone();
  if (const auto* list = std::get_if<TorchList>(&value)) {
    for (const TorchValue& item : *list) use(item);
  }
  if (const auto* dict = std::get_if<TorchDict>(&value)) {
    for (const auto& [name, item] : *dict) use(item);
  }
}

void read(std::string_view input) {
  use(read_torch_file(scratch_file("model.pt", input)));
}

const Registration kTarget({"torch_file", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
