// The independent check notices every kind of damage to an export.
#include <gtest/gtest.h>

#include <fstream>

#include "artifact/gguf_view.hpp"
#include "export_models.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/file.hpp"

namespace tercet {
namespace {

using nlohmann::json;
using test::join;
using test::kPerTensor;
using test::llama_json;
using test::packed_of;
using test::ScratchFolder;
using test::spec_of;

class DamagedExports : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_exports(folder_.path(), model_, {"gguf", "hf-bitnet", "compressed-tensors"});
    ASSERT_EQ(join(verify_artifacts(folder_.path())), "");
  }
  // The metadata follows, so that only the content disagrees.
  std::string findings() {
    test::write_metadata(folder_.path());
    return join(verify_artifacts(folder_.path()));
  }
  void flip(const std::string& file, std::uint64_t position, int mask) {
    std::fstream stream(folder_ / file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(position));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(position));
    stream.put(static_cast<char>(byte ^ mask));
  }
  std::uint64_t size(const std::string& file) const { return std::filesystem::file_size(folder_ / file); }
  // Rewrites the weights of a folder after a change.
  void change(const std::string& place, const std::function<void(NamedTensors&)>& action) {
    NamedTensors tensors;
    {
      const auto source = open_weights(folder_ / place);
      for (const auto& [name, info] : source->tensors()) tensors.emplace_back(name, source->tensor(name).clone());
    }
    action(tensors);
    write_safetensors(folder_ / place / "model.safetensors", tensors);
  }
  void change_config(const std::string& place, const std::function<void(json&)>& action) {
    json config = json::parse(read_file(folder_ / place / "config.json"));
    action(config);
    write_file_atomically(folder_ / place / "config.json", config.dump());
  }

  ScratchFolder folder_;
  PackedModel model_ = packed_of(llama_json(64, 128, true), kPerTensor);
};

TEST_F(DamagedExports, OneBitOfGgufIsNoticed) {
  const gguf_check::Container file(folder_ / "model.gguf");
  const auto& entry = file.tensors.at("blk.1.ffn_down.weight");
  flip("model.gguf", size("model.gguf") - file.data().size() + entry.offset + 7, 1);
  EXPECT_EQ(findings(),
            "tensor 'blk.1.ffn_down.weight' of model.gguf differs from its packed codes in 1 of 8192 values\n");
}

TEST_F(DamagedExports, AScaleOfGgufIsNoticed) {
  const gguf_check::Container file(folder_ / "model.gguf");
  const auto& entry = file.tensors.at("blk.0.attn_q.weight");
  flip("model.gguf", size("model.gguf") - file.data().size() + entry.offset, 1);
  EXPECT_MENTIONS(findings(), "tensor 'blk.0.attn_q.weight' of model.gguf differs");
}

TEST_F(DamagedExports, GgufThatIsCutOffOrLongerIsNoticed) {
  std::filesystem::resize_file(folder_ / "model.gguf", size("model.gguf") - 32);
  EXPECT_MENTIONS(findings(), "it ends too early");
  std::filesystem::resize_file(folder_ / "model.gguf", size("model.gguf") + 64);
  EXPECT_MENTIONS(findings(), "does not end where the file does");
  std::filesystem::resize_file(folder_ / "model.gguf", 100);
  EXPECT_MENTIONS(findings(), "model.gguf");
}

TEST_F(DamagedExports, AHeadTooManyOrTooFewIsNoticed) {
  const PackedModel untied = packed_of(llama_json(64, 128, false), kPerTensor);
  const ScratchFolder other;
  test::write_exports(other.path(), untied, {"gguf", "hf-bitnet", "compressed-tensors"});
  for (const char* place : {"model.gguf", "hf-bitnet", "compressed-tensors"}) {
    std::filesystem::remove_all(folder_ / place);
    std::filesystem::copy(other / place, folder_ / place, std::filesystem::copy_options::recursive);
  }
  const std::string doubled = findings();
  EXPECT_MENTIONS(doubled, "tensor 'output.weight' of model.gguf is not in the packed model");
  EXPECT_MENTIONS(doubled, "hf-bitnet: tensor 'lm_head.weight' is not in the packed model");
  EXPECT_MENTIONS(doubled, "compressed-tensors: tensor 'lm_head.weight' is not in the packed model");
  write_packed_model(folder_ / "bitnet_quantized_model.pt", untied);
  write_dequantized_pt(folder_ / "bitnet_dequantized_fp16.pt", untied);
  write_hf_folder(folder_ / "hf", untied, folder_ / "tokenizer", folder_ / "tokenizer");
  EXPECT_EQ(findings(), "");
  for (const char* place : {"hf-bitnet", "compressed-tensors"}) {
    change(place, [](NamedTensors& tensors) {
      std::erase_if(tensors, [](const auto& t) { return t.first == "lm_head.weight"; });
    });
  }
  const std::string missing = findings();
  EXPECT_MENTIONS(missing, "hf-bitnet: tensor 'lm_head.weight' is missing");
  EXPECT_MENTIONS(missing, "compressed-tensors: tensor 'lm_head.weight' is missing");
}

TEST_F(DamagedExports, TheOtherMeaningOfTheBitnetScaleIsNoticed) {
  change("hf-bitnet", [](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name.ends_with("up_proj.weight_scale")) tensor.reciprocal_();
    }
  });
  EXPECT_MENTIONS(findings(), "tensor 'model.layers.1.mlp.up_proj.weight' of hf-bitnet differs from its packed codes");
}

TEST_F(DamagedExports, SettingsThatChangeTheMeaningAreNoticed) {
  change_config("hf-bitnet", [](json& config) { config["quantization_config"]["linear_class"] = "autobitlinear"; });
  change_config("compressed-tensors", [](json& config) {
    config["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] = 4;
  });
  const std::string found = findings();
  EXPECT_MENTIONS(found, "hf-bitnet: linear_class of config.json is not bitlinear");
  EXPECT_MENTIONS(found, "compressed-tensors: tensor 'model.layers.0.self_attn.q_proj.weight_packed' has another");
}

TEST_F(DamagedExports, OneBitOfAPackedWordIsNoticed) {
  for (const char* place : {"hf-bitnet", "compressed-tensors"}) {
    change(place, [](NamedTensors& tensors) {
      for (auto& [name, tensor] : tensors) {
        if (name.ends_with("0.mlp.up_proj.weight") && tensor.scalar_type() == at::kByte) tensor[0][0].bitwise_xor_(1);
        if (name.ends_with("0.mlp.up_proj.weight_packed")) tensor[0][0].bitwise_xor_(1);
      }
    });
  }
  const std::string found = findings();
  EXPECT_MENTIONS(found, "'model.layers.0.mlp.up_proj.weight' of hf-bitnet differs from its packed codes in 1 of 8192");
  EXPECT_MENTIONS(found,
                  "'model.layers.0.mlp.up_proj.weight' of compressed-tensors differs from its packed codes in 1 of");
}

TEST_F(DamagedExports, AFileThatTheMetadataDoesNotListIsNoticed) {
  json metadata = json::parse(read_file(folder_ / "compression_metadata.json"));
  metadata["files"].erase("model.gguf");
  write_file_atomically(folder_ / "compression_metadata.json", metadata.dump());
  EXPECT_MENTIONS(join(verify_artifacts(folder_.path())), "gives no SHA-256 of model.gguf");
}

}  // namespace
}  // namespace tercet
