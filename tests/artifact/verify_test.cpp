#include <functional>

#include "support.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/base/file.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

using test::ScratchFolder;
using test::tiny_gpt2;
using test::tiny_llama;

std::string join(const std::vector<std::string>& findings) {
  std::string text;
  for (const auto& finding : findings) text += finding + "\n";
  return text;
}

class VerifyArtifacts : public ::testing::Test {
 protected:
  void SetUp() override { test::write_artifacts(folder_.path(), tiny_llama()); }
  std::string findings() const { return join(verify_artifacts(folder_.path())); }
  // Changes the dequantized state dict, and the metadata with it, so that only the contents disagree.
  std::string after_changing_state(const std::function<void(TorchDict&)>& change) {
    TorchValue state = read_torch_file(folder_ / "bitnet_dequantized_fp16.pt");
    change(std::get<TorchDict>(state));
    write_torch_file(folder_ / "bitnet_dequantized_fp16.pt", state);
    test::write_metadata(folder_.path());
    return findings();
  }
  ScratchFolder folder_;
};

TEST_F(VerifyArtifacts, FindsNothingInWhatWasJustWritten) {
  EXPECT_EQ(findings(), "");
  for (const PackedModel& model : {tiny_gpt2(), tiny_llama(false)}) {
    const ScratchFolder other;
    test::write_artifacts(other.path(), model);
    EXPECT_EQ(join(verify_artifacts(other.path())), "");
  }
}

TEST_F(VerifyArtifacts, FindsOneWeightThatDiffersByOneBit) {
  const std::string found = after_changing_state([](TorchDict& state) {
    auto& tensor = std::get<at::Tensor>(state[2].second);
    tensor = tensor.clone();
    static_cast<std::uint16_t*>(tensor.mutable_data_ptr())[5] ^= 1;
  });
  EXPECT_EQ(found,
            "tensor 'model.layers.0.self_attn.q_proj.weight' of bitnet_dequantized_fp16.pt differs from its "
            "packed codes in 1 of 144 values\n");
}

TEST_F(VerifyArtifacts, FindsTensorsMissingSuperfluousOrOfAnotherForm) {
  EXPECT_MENTIONS(after_changing_state([](TorchDict& state) { state.pop_back(); }), "'lm_head.weight'");
  EXPECT_MENTIONS(after_changing_state([](TorchDict& state) { state.emplace_back("stray", state[1].second); }),
                  "'stray' of bitnet_dequantized_fp16.pt is not in the packed model");
  EXPECT_MENTIONS(after_changing_state(
                      [](TorchDict& state) { state[1].second = std::get<at::Tensor>(state[1].second).to(at::kFloat); }),
                  "is not float16");
  EXPECT_MENTIONS(
      after_changing_state([](TorchDict& state) { state[2].second = std::get<at::Tensor>(state[2].second).flatten(); }),
      "another shape");
  EXPECT_MENTIONS(after_changing_state([](TorchDict& state) { state[1].second = std::int64_t{1}; }), "not a tensor");
}

TEST_F(VerifyArtifacts, FindsAnExportOfOtherCodes) {
  PackedModel model = tiny_llama();
  at::Tensor& codes = model.tensors[2].stored.codes;
  codes = codes.clone();
  codes.mutable_data_ptr<std::uint8_t>()[0] ^= 1;
  if ((codes.const_data_ptr<std::uint8_t>()[0] & 3) == 3) codes.mutable_data_ptr<std::uint8_t>()[0] ^= 2;
  write_packed_model(folder_ / "bitnet_quantized_model.pt", model);
  test::write_metadata(folder_.path());
  EXPECT_MENTIONS(findings(), "q_proj.weight' of hf/model.safetensors differs");
  EXPECT_MENTIONS(findings(), "q_proj.weight' of bitnet_dequantized_fp16.pt differs");
}

TEST_F(VerifyArtifacts, FindsFilesThatAreNotTheListedOnes) {
  std::string config = read_file(folder_ / "hf/model.safetensors");
  config[config.size() - 1] = static_cast<char>(config[config.size() - 1] ^ 1);
  write_file_atomically(folder_ / "hf/model.safetensors", config);
  EXPECT_MENTIONS(findings(), "hf/model.safetensors has another SHA-256");
  write_file_atomically(folder_ / "compression_metadata.json", R"({"files": {"absent.pt": "00"}})");
  EXPECT_MENTIONS(findings(), "absent.pt is listed");
  EXPECT_MENTIONS(findings(), "gives no SHA-256 of bitnet_quantized_model.pt");
  write_file_atomically(folder_ / "compression_metadata.json", R"({"files": {"../outside": "00"}})");
  EXPECT_MENTIONS(findings(), "'..'");
  write_file_atomically(folder_ / "compression_metadata.json", "[]");
  EXPECT_MENTIONS(findings(), "its top is no object");
  write_file_atomically(folder_ / "compression_metadata.json", "{");
  EXPECT_MENTIONS(findings(), "JSON");
}

TEST_F(VerifyArtifacts, FindsMetadataThatWasChanged) {
  const std::filesystem::path file = folder_ / "compression_metadata.json";
  nlohmann::json metadata = nlohmann::json::parse(read_file(file));
  metadata["success"] = true;
  write_file_atomically(file, metadata.dump());
  EXPECT_MENTIONS(findings(), "compression_metadata.json was changed");
  metadata.erase("metadata_sha256");
  write_file_atomically(file, metadata.dump());
  EXPECT_MENTIONS(findings(), "compression_metadata.json was changed");
}

TEST_F(VerifyArtifacts, FindsFilesThatCannotBeRead) {
  std::filesystem::resize_file(folder_ / "bitnet_quantized_model.pt", 100);
  EXPECT_MENTIONS(findings(), "bitnet_quantized_model.pt");
  std::filesystem::remove(folder_ / "compression_metadata.json");
  EXPECT_MENTIONS(findings(), "compression_metadata.json");
  const ScratchFolder empty;
  EXPECT_GE(verify_artifacts(empty.path()).size(), 2);
}

TEST_F(VerifyArtifacts, FindsAConfigOfAnotherModel) {
  const PackedModel other = tiny_gpt2();
  write_file_atomically(folder_ / "hf/config.json", other.config.json);
  EXPECT_MENTIONS(findings(), "another model");
}

}  // namespace
}  // namespace tercet
