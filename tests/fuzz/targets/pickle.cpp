// The pickle machine by itself, over storages of any size that is asked for (up to 64 elements).
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include <algorithm>

#include "model_io/pickle_reader.hpp"
#include "model_io/torch_archive.hpp"
#include "target.hpp"

namespace tercet::fuzz {
namespace {

using namespace std::string_literals;

std::string pickle_of(const TorchValue& value) {
  const auto file = scratch() / "seed.pt";
  write_torch_file(file, value);
  return TorchArchive(file).pickle();
}

std::vector<std::string> seeds() {
  return {
      pickle_of(TorchDict{{"w", at::arange(6, at::kFloat).view({2, 3})},
                          {"v", at::arange(3, at::kHalf)},
                          {"deep", TorchDict{{"list", TorchList{1.5, false, std::int64_t{1} << 40, std::string("é")}}}},
                          {"none", std::monostate{}}}),
      // Protocol 4 of Python: {"a": OrderedDict, "b": (1, 2.0)} by framed opcodes and the memo.
      "\x80\x04\x95\x40\0\0\0\0\0\0\0}\x94(\x8c\x01"
      "a\x94\x8c\x0b"
      "collections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01"
      "b\x94K\x01G@\0\0\0\0\0\0\0\x86\x94u."s};
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
  const auto storage = [](const std::string&, c10::ScalarType type, std::int64_t elements) {
    return at::arange(std::clamp<std::int64_t>(elements, 0, 64), at::TensorOptions(type));
  };
  use(PickleReader(input, "data.pkl", storage).read());
}

const Registration kTarget({"pickle", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
