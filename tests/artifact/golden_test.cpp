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
     {{"compressed-tensors", "783d776c52889780"},
      {"gguf", "58dedb88eee6359e"},
      {"hf", "e569cc249be9e493"},
      {"hf-bitnet", "f15daba0f38d9890"},
      {"packed", "462bda9e9572fa6f"}}},
    {"untied_192",
     {{"compressed-tensors", "d3683e46bb360808"},
      {"gguf", "c8908bc57fc78048"},
      {"hf", "d9d2a3821068f9c3"},
      {"packed", "9516e02fcc10cf6e"}}},
    {"width_172",
     {{"compressed-tensors", "17b51a1080ed7fe9"},
      {"hf", "cea5c878bf7de3c5"},
      {"hf-bitnet", "c1071a8b25827a8a"},
      {"packed", "7e22c3b2fec187b0"}}},
    {"width_170",
     {{"compressed-tensors", "2b9c6dbbceaa4f8f"}, {"hf", "5d1b32360d2f0242"}, {"packed", "a1718379c583b2c2"}}},
    {"biases",
     {{"compressed-tensors", "fd8e0077c6f850ac"},
      {"gguf", "2473f8bdceca218d"},
      {"hf", "950e2f73cba4c190"},
      {"hf-bitnet", "88607bc02a384ab1"},
      {"packed", "aee00775216dc7cd"}}},
    {"head_norms",
     {{"compressed-tensors", "5a4d91906f44eb54"},
      {"gguf", "559353d77ea87f94"},
      {"hf", "7f8c8c374e0390e4"},
      {"packed", "89101306fcf81a7b"}}},
    {"conv1d", {{"gguf", "1407713dfbeb1654"}, {"hf", "ac86265dfa22dc0a"}, {"packed", "7bbba21cd1abb261"}}},
    {"fused_projection",
     {{"compressed-tensors", "171f99fb4697dab9"},
      {"gguf", "c2e02a1572270f1c"},
      {"hf", "b0f0840a3ab032bb"},
      {"hf-bitnet", "57000a31da7c2c05"},
      {"packed", "a33601b99a327330"}}},
    {"zero_points",
     {{"compressed-tensors", "eb85889ec9ca4f19"}, {"hf", "f160b7968ab198da"}, {"packed", "290a8f50f7331041"}}},
    {"zero_points_by_row",
     {{"compressed-tensors", "6ef8a59ac2a6941f"}, {"hf", "346dc0af79665452"}, {"packed", "ad12ed47f0303771"}}},
    {"int2",
     {{"compressed-tensors", "af471e867c5aa454"},
      {"gguf", "530ca06d07a2aa9c"},
      {"hf", "babb9b35b93593b2"},
      {"packed", "2e99750687a08e98"}}},
    {"mixed_bits",
     {{"compressed-tensors", "ae61102626c9862f"},
      {"gguf", "1405668fb77dc620"},
      {"hf", "418bd39ac60ab87c"},
      {"packed", "c38aea3345650a33"}}},
    {"all_zero_matrix",
     {{"compressed-tensors", "4e6259e743dfa90d"},
      {"gguf", "0e9f9fd71fdc142a"},
      {"hf", "728fd9f88d6326e9"},
      {"hf-bitnet", "dde56f3b8bd500ce"},
      {"packed", "a5b5e79a410dff8d"}}},
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
