// Every byte of a small file is damaged in turn: whatever comes of it, it is a value or a DataError.
#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include <functional>

#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/model_io/torch_file.hpp"
#include "tercet/model_io/weights.hpp"

// LibTorch's archive reader forgets its table of contents (some hundred bytes) when its constructor throws.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:mz_zip_reader_init\n";
}

namespace tercet {
namespace {

int refused_of_damaged(const std::filesystem::path& file, const std::function<void()>& read) {
  const std::string whole = read_file(file);
  int refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char mask : {'\x01', '\x80', '\xff'}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ mask);
      test::write_text_file(file, damaged);
      try {
        read();
      } catch (const DataError&) {
        ++refused;
      }
    }
  }
  return refused;
}

TEST(Damage, OfASafetensorsFileIsReadOrRefused) {
  const test::ScratchFolder folder;
  const auto file = folder / "model.safetensors";
  write_safetensors(file, {{"a", at::arange(3, at::kFloat)}, {"b", at::arange(2, at::kHalf)}});
  EXPECT_GT(refused_of_damaged(file,
                               [&] {
                                 const auto source = open_safetensors(file);
                                 for (const auto& [name, info] : source->tensors())
                                   source->tensor(name).to(at::kDouble).sum();
                               }),
            100);
}

TEST(Damage, OfATorchFileIsReadOrRefused) {
  const test::ScratchFolder folder;
  const auto file = folder / "model.pt";
  const at::Tensor shared = at::arange(4, at::kFloat);
  write_torch_file(file, TorchDict{{"a", shared}, {"b", shared.slice(0, 1, 3)}, {"c", TorchList{1.5, true}}});
  EXPECT_GT(refused_of_damaged(file,
                               [&] {
                                 const TorchValue value = read_torch_file(file);
                                 if (const auto* dict = std::get_if<TorchDict>(&value)) {
                                   for (const auto& [name, entry] : *dict) {
                                     if (const auto* tensor = std::get_if<at::Tensor>(&entry))
                                       tensor->to(at::kDouble).sum();
                                   }
                                 }
                               }),
            100);
}

}  // namespace
}  // namespace tercet
