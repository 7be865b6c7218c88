#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <map>

#include "support.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

using nlohmann::json;
using test::ScratchFolder;
using test::tiny_gpt2;
using test::tiny_llama;

// What the state dict of a model holds; the tensors keep their file mapped.
std::map<std::string, at::Tensor> exported(const PackedModel& model) {
  const ScratchFolder folder;
  write_dequantized_pt(folder / "state.pt", model);
  const TorchValue value = read_torch_file(folder / "state.pt");
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : std::get<TorchDict>(value)) tensors[name] = std::get<at::Tensor>(tensor);
  return tensors;
}

TEST(Exports, GiveTheValuesOfTheCodesAsHalf) {
  const PackedModel model = tiny_llama();
  const auto tensors = exported(model);
  for (const PackedTensor& packed : model.tensors) {
    EXPECT_EQ(tensors.at(packed.name).scalar_type(), at::kHalf);
    EXPECT_TRUE(at::equal(tensors.at(packed.name).to(at::kFloat), dequantize(packed.stored))) << packed.name;
  }
}

TEST(Exports, GiveConv1dWeightsBackInputFirst) {
  const PackedModel model = tiny_gpt2();
  const auto tensors = exported(model);
  const at::Tensor fused = tensors.at("transformer.h.0.attn.c_attn.weight");
  EXPECT_EQ(fused.sizes().vec(), (std::vector<std::int64_t>{8, 24}));
  EXPECT_TRUE(fused.is_contiguous());
  for (const PackedTensor& packed : model.tensors) {
    if (packed.input_first) {
      EXPECT_TRUE(at::equal(tensors.at(packed.name).t().to(at::kFloat), dequantize(packed.stored)));
    }
  }
}

// The original lost tied heads: a loader of the plain state dict then had a random head.
TEST(Exports, KeepATiedHeadUnderItsNameOverTheSameMemory) {
  const ScratchFolder folder;
  write_dequantized_pt(folder / "state.pt", tiny_llama());
  const TorchValue value = read_torch_file(folder / "state.pt");
  const auto& state = std::get<TorchDict>(value);
  const auto& head = std::get<at::Tensor>(torch_entry(state, "lm_head.weight", "state"));
  const auto& embedding = std::get<at::Tensor>(torch_entry(state, "model.embed_tokens.weight", "state"));
  EXPECT_EQ(head.const_data_ptr(), embedding.const_data_ptr());
  EXPECT_EQ(state.size(), tiny_llama().tensors.size() + 1);
}

TEST(Exports, LeaveAnUntiedHeadAlone) {
  const ScratchFolder folder;
  const PackedModel model = tiny_llama(false);
  write_dequantized_pt(folder / "state.pt", model);
  const TorchValue value = read_torch_file(folder / "state.pt");
  EXPECT_EQ(std::get<TorchDict>(value).size(), model.tensors.size());
}

TEST(Exports, MakeAFolderOfTheStandardForm) {
  const ScratchFolder folder;
  test::write_artifacts(folder.path(), tiny_llama());
  const auto hf = folder / "hf";
  const json config = json::parse(read_file(hf / "config.json"));
  EXPECT_EQ(config["torch_dtype"], "float16");
  EXPECT_EQ(config["hidden_size"], 12);
  EXPECT_EQ(config["tie_word_embeddings"], true);
  const auto weights = open_weights(hf);
  EXPECT_EQ(weights->tensors().size(), tiny_llama().tensors.size()) << "tied tensors are stored once";
  EXPECT_EQ(weights->tensors().at("model.norm.weight").dtype, "F16");
  const json generation = json::parse(read_file(hf / "generation_config.json"));
  EXPECT_EQ(generation["eos_token_id"], 2);
  EXPECT_TRUE(std::filesystem::exists(hf / "tokenizer.json"));
  EXPECT_FALSE(std::filesystem::exists(hf / "unrelated.txt"));
}

TEST(Exports, SetTheDtypeUnderTheKeyThatTheSourceUses) {
  const ScratchFolder folder;
  test::write_artifacts(folder.path(), tiny_gpt2());
  const json config = json::parse(read_file(folder / "hf/config.json"));
  EXPECT_EQ(config["dtype"], "float16");
  EXPECT_FALSE(config.contains("torch_dtype"));
}

TEST(Exports, CopyTheGenerationConfigOfTheSource) {
  const ScratchFolder folder;
  write_file_atomically(folder / "generation_config.json", R"({"temperature": 0.7})");
  std::filesystem::permissions(folder / "generation_config.json", std::filesystem::perms::owner_read);
  for (int time = 0; time < 2; ++time) write_hf_folder(folder / "hf", tiny_llama(), folder.path(), folder.path());
  EXPECT_EQ(json::parse(read_file(folder / "hf/generation_config.json"))["temperature"], 0.7);
  EXPECT_THROW(write_hf_folder(folder / "hf", tiny_llama(), folder.path(), folder / "absent"), DataError);
}

}  // namespace
}  // namespace tercet
