// Golden files: the bytes of every layout, for the models that tests/parity/exports_parity.py hands to the foreign
// programs. A change of layout must be meant: it breaks files that people have. Then run that test, which says whether
// the foreign programs still read the same values, and take the digests that this one prints.
#include <gtest/gtest.h>

#include <map>

#include "artifact/gguf_view.hpp"
#include "export_models.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/hash.hpp"

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

std::string digest_of_folder(const fs::path& folder) {
  Sha256 digest;
  const auto weights = open_weights(folder);
  for (const auto& [name, info] : weights->tensors()) {
    add(digest, name, info.dtype, info.shape, bytes_of(weights->tensor(name)));
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
  test::write_exports(folder.path(), each.model, each.formats);
  std::map<std::string, std::string> found{{"packed", digest_of_packed(folder / "bitnet_quantized_model.pt")},
                                           {"hf", digest_of_folder(folder / "hf")}};
  for (const std::string& format : each.formats) {
    const fs::path place = folder / export_format(format).place();
    found[format] = format == "gguf" ? digest_of_gguf(place) : digest_of_folder(place);
  }
  for (auto& [layout, digest] : found) digest.resize(16);
  return found;
}

const std::map<std::string, std::map<std::string, std::string>> kGolden = {
    {"tied_256",
     {{"compressed-tensors", "f8c21c07b6aed37a"},
      {"gguf", "de9c4d943526b5ac"},
      {"hf", "24f7bde32ced2eaa"},
      {"hf-bitnet", "06daee27a7855206"},
      {"packed", "aaa6eff33c9e1b57"}}},
    {"untied_192",
     {{"compressed-tensors", "27d7242e3c3a9ed2"},
      {"gguf", "13c68b64a82a058e"},
      {"hf", "7b8b660c0b304374"},
      {"packed", "f30eca96e20507f0"}}},
    {"width_172",
     {{"compressed-tensors", "3b10ff9af01b1d7f"},
      {"hf", "71a0f3b5d667e930"},
      {"hf-bitnet", "f5b4f8b04a6a4961"},
      {"packed", "c8fcfe9e15c16dd3"}}},
    {"width_170",
     {{"compressed-tensors", "bd714b887f456de5"}, {"hf", "3d764fe9dd652efd"}, {"packed", "322d37b8eff26aa8"}}},
    {"biases",
     {{"compressed-tensors", "a929c6533b336e28"},
      {"gguf", "c1204aed33afb7e4"},
      {"hf", "e4a2a5e438a7b666"},
      {"hf-bitnet", "96bf5bb19c4464c1"},
      {"packed", "9b5637d5610ebf6e"}}},
    {"head_norms",
     {{"compressed-tensors", "9b147daa1704a9cc"},
      {"gguf", "194fb3cb30c660f9"},
      {"hf", "27365bc8eac53e9b"},
      {"packed", "80b45779c0c16107"}}},
    {"conv1d", {{"gguf", "49522e597e575541"}, {"hf", "a31591b32fe2765d"}, {"packed", "a4d00ac85f12e33b"}}},
    {"fused_projection",
     {{"compressed-tensors", "4a73975ec05549d0"},
      {"gguf", "497399fc2862e029"},
      {"hf", "731a2e432b612397"},
      {"hf-bitnet", "f5c9203b46260c99"},
      {"packed", "b018dd183c723b04"}}},
    {"zero_points",
     {{"compressed-tensors", "c137ace3d00732e1"}, {"hf", "d835b503f99d1e58"}, {"packed", "e373f26ba9416236"}}},
    {"zero_points_by_row",
     {{"compressed-tensors", "a3e7d4ec72bbbd58"}, {"hf", "27740c61798751ee"}, {"packed", "3622772f86e981d1"}}},
    {"int2",
     {{"compressed-tensors", "b9601ea61ca30401"},
      {"gguf", "2cd0026a6eb2b165"},
      {"hf", "3e7cc809f9ab48c2"},
      {"packed", "4c7bae9d734e014c"}}},
    {"mixed_bits",
     {{"compressed-tensors", "9b511f3d5976d7d4"},
      {"gguf", "762929b301ce5bf9"},
      {"hf", "45f2eb013077b95c"},
      {"packed", "bc0b3e6efd1ad328"}}},
    {"all_zero_matrix",
     {{"compressed-tensors", "44433427a251d958"},
      {"gguf", "7b596de4d18e7bdd"},
      {"hf", "c1a7d54f1d614c5d"},
      {"hf-bitnet", "d99e316f9f4e64af"},
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

}  // namespace
}  // namespace tercet
