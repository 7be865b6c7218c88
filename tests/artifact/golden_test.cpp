// Golden files: the bytes of every layout, for the models that tests/parity/exports_parity.py hands to the foreign
// programs (of kernels.safetensors, for our own). A change of layout must be meant: it breaks files that people have.
// Then run that test, which says whether the foreign programs still read the same values, and take the digests that
// this one prints.
#include <gtest/gtest.h>

#include <map>

#include "artifact/gguf_view.hpp"
#include "export_models.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

void add(Sha256& digest, const std::string& name, const std::string& type, at::IntArrayRef shape,
         std::string_view bytes) {
  std::string head = name + " " + type;
  for (const std::int64_t size : shape) head += " " + std::to_string(size);
  digest.update(head + "\n");
  digest.update(bytes);
}

std::string_view bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

std::string digest_of_packed(const fs::path& file) {
  Sha256 digest;
  for (const PackedTensor& tensor : read_packed_model(file).tensors) {
    for (const at::Tensor& part : {tensor.stored.codes, tensor.stored.scales, tensor.stored.zero_points}) {
      if (part.defined()) add(digest, tensor.name, c10::toString(part.scalar_type()), part.sizes(), bytes_of(part));
    }
  }
  return digest.hex();
}

std::string digest_of_dequantized(const fs::path& file) {
  Sha256 digest;
  const TorchValue state = read_torch_file(file);
  for (const auto& [name, value] : std::get<TorchDict>(state)) {
    const auto& tensor = std::get<at::Tensor>(value);
    add(digest, name, c10::toString(tensor.scalar_type()), tensor.sizes(), bytes_of(tensor));
  }
  return digest.hex();
}

std::string digest_of_weights(const WeightSource& weights) {
  Sha256 digest;
  for (const auto& [name, info] : weights.tensors()) {
    add(digest, name, info.dtype, info.shape, bytes_of(weights.tensor(name)));
  }
  return digest.hex();
}

std::string digest_of_gguf(const fs::path& path) {
  Sha256 digest;
  const gguf_check::Container file(path);
  for (const auto& [name, entry] : file.tensors) {
    const gguf_check::Block block = gguf_check::block_of(entry.type);
    std::uint64_t values = 1;
    for (const std::uint64_t size : entry.sizes) values *= size;
    const std::vector<std::int64_t> shape(entry.sizes.begin(), entry.sizes.end());
    add(digest, name, std::to_string(entry.type), shape,
        file.data().substr(entry.offset, values / block.values * block.bytes));
  }
  return digest.hex();
}

// The first 16 digits of each.
std::map<std::string, std::string> digests_of(const test::ExportCase& each) {
  const test::ScratchFolder folder;
  std::vector<std::string> formats = each.formats;
  formats.emplace_back("kernels");
  test::write_exports(folder.path(), each.model, formats);
  std::map<std::string, std::string> found{
      {"packed", digest_of_packed(folder / "bitnet_quantized_model.pt")},
      {"dequantized", digest_of_dequantized(folder / "bitnet_dequantized_fp16.pt")},
      {"hf", digest_of_weights(*open_weights(folder / "hf"))},
      {"kernels", digest_of_weights(*open_safetensors(folder / export_format("kernels").place()))}};
  for (const std::string& format : each.formats) {
    const fs::path place = folder / export_format(format).place();
    found[format] = format == "gguf" ? digest_of_gguf(place) : digest_of_weights(*open_weights(place));
  }
  for (auto& [layout, digest] : found) digest.resize(16);
  return found;
}

const std::map<std::string, std::map<std::string, std::string>> kGolden = {
    {"tied_256",
     {{"compressed-tensors", "f8c21c07b6aed37a"},
      {"dequantized", "00696789c9304d8e"},
      {"gguf", "de9c4d943526b5ac"},
      {"hf", "24f7bde32ced2eaa"},
      {"hf-bitnet", "06daee27a7855206"},
      {"kernels", "71d82e5a2c449a3c"},
      {"packed", "aaa6eff33c9e1b57"}}},
    {"untied_192",
     {{"compressed-tensors", "27d7242e3c3a9ed2"},
      {"dequantized", "031cd17effd04c5f"},
      {"gguf", "13c68b64a82a058e"},
      {"hf", "7b8b660c0b304374"},
      {"kernels", "63d607f80e879780"},
      {"packed", "f30eca96e20507f0"}}},
    {"width_172",
     {{"compressed-tensors", "3b10ff9af01b1d7f"},
      {"dequantized", "c1790e6fccbfd0dc"},
      {"hf", "71a0f3b5d667e930"},
      {"hf-bitnet", "f5b4f8b04a6a4961"},
      {"kernels", "35dd52335b046906"},
      {"packed", "c8fcfe9e15c16dd3"}}},
    {"width_170",
     {{"compressed-tensors", "bd714b887f456de5"},
      {"dequantized", "01f543965b3e4790"},
      {"hf", "3d764fe9dd652efd"},
      {"kernels", "ef9d086aafb42f33"},
      {"packed", "322d37b8eff26aa8"}}},
    {"biases",
     {{"compressed-tensors", "a929c6533b336e28"},
      {"dequantized", "7e3a5d08fbcbcea7"},
      {"gguf", "c1204aed33afb7e4"},
      {"hf", "e4a2a5e438a7b666"},
      {"hf-bitnet", "96bf5bb19c4464c1"},
      {"kernels", "6adc2913303978ab"},
      {"packed", "9b5637d5610ebf6e"}}},
    {"head_norms",
     {{"compressed-tensors", "9b147daa1704a9cc"},
      {"dequantized", "128f2e9e90adb0e7"},
      {"gguf", "194fb3cb30c660f9"},
      {"hf", "27365bc8eac53e9b"},
      {"kernels", "c5f1c68962bbe44d"},
      {"packed", "80b45779c0c16107"}}},
    {"conv1d",
     {{"dequantized", "9c17af52ed4afc43"},
      {"gguf", "49522e597e575541"},
      {"hf", "a31591b32fe2765d"},
      {"kernels", "b8ec3a4904c3fa20"},
      {"packed", "a4d00ac85f12e33b"}}},
    {"fused_projection",
     {{"compressed-tensors", "4a73975ec05549d0"},
      {"dequantized", "8f74fd023096ba23"},
      {"gguf", "497399fc2862e029"},
      {"hf", "731a2e432b612397"},
      {"hf-bitnet", "f5c9203b46260c99"},
      {"kernels", "bef293aeb94a271f"},
      {"packed", "b018dd183c723b04"}}},
    {"zero_points",
     {{"compressed-tensors", "c137ace3d00732e1"},
      {"dequantized", "9b0e0f5b4bde55a8"},
      {"hf", "d835b503f99d1e58"},
      {"kernels", "53b0c4f3126ae7e8"},
      {"packed", "e373f26ba9416236"}}},
    {"zero_points_by_row",
     {{"compressed-tensors", "a3e7d4ec72bbbd58"},
      {"dequantized", "bf9caea3f7d98c69"},
      {"hf", "27740c61798751ee"},
      {"kernels", "f79473b2fbc0a51f"},
      {"packed", "3622772f86e981d1"}}},
    {"int2",
     {{"compressed-tensors", "b9601ea61ca30401"},
      {"dequantized", "30e9af498326d019"},
      {"gguf", "2cd0026a6eb2b165"},
      {"hf", "3e7cc809f9ab48c2"},
      {"kernels", "ccaa2d4991249c59"},
      {"packed", "4c7bae9d734e014c"}}},
    {"mixed_bits",
     {{"compressed-tensors", "9b511f3d5976d7d4"},
      {"dequantized", "4673ee8e60648861"},
      {"gguf", "762929b301ce5bf9"},
      {"hf", "45f2eb013077b95c"},
      {"kernels", "b6916fb204f5555f"},
      {"packed", "bc0b3e6efd1ad328"}}},
    {"all_zero_matrix",
     {{"compressed-tensors", "44433427a251d958"},
      {"dequantized", "2f157b35c1807f07"},
      {"gguf", "7b596de4d18e7bdd"},
      {"hf", "c1a7d54f1d614c5d"},
      {"hf-bitnet", "d99e316f9f4e64af"},
      {"kernels", "fbda9a253b7e42bb"},
      {"packed", "ddbbac473fa1629e"}}},
};

TEST(GoldenFiles, HaveTheBytesThatForeignProgramsWereShown) {
  for (const test::ExportCase& each : test::export_cases()) {
    const auto golden = kGolden.find(each.name);
    const auto found = digests_of(each);
    std::string text;
    for (const auto& [layout, digest] : found) text += "{\"" + layout + "\", \"" + digest + "\"}, ";
    EXPECT_TRUE(golden != kGolden.end() && found == golden->second) << "{\"" << each.name << "\", {" << text << "}},";
  }
}

// Header, metadata and tokenizer too, and blocks of five trits in a byte.
TEST(GoldenFiles, HaveEveryByteOfAGgufFileOfTq1_0) {
  const test::ScratchFolder folder;
  ExportSettings settings;
  settings.gguf_type = "tq1_0";
  test::write_exports(folder.path(), test::packed_of(test::llama_json(256, 256, true), test::kPerTensor), {"gguf"},
                      settings);
  EXPECT_EQ(sha256_file(folder / "model.gguf").substr(0, 16), "dbce0ba01ce2021c");
}

}  // namespace
}  // namespace tercet
