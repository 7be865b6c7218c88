// The exports for other programs: they are read back without a finding, and their files are what their formats say.
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "artifact/gguf_file.hpp"
#include "artifact/gguf_model.hpp"
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
using test::neox_json;
using test::packed_of;
using test::ScratchFolder;
using test::spec_of;

TEST(ExportsForPrograms, AreReadBackWithoutAFinding) {
  for (const test::ExportCase& each : test::export_cases()) {
    const ScratchFolder folder;
    test::write_exports(folder.path(), each.model, each.formats);
    EXPECT_EQ(join(verify_artifacts(folder.path())), "") << each.name;
  }
}

TEST(ExportsForPrograms, EveryGgufTypeOfTritsHoldsTheSameValues) {
  const PackedModel model = packed_of(llama_json(256, 512, false), spec_of("ternary", Granularity::kChannel));
  for (const auto& [setting, id] : {std::pair{"tq1_0", 34}, {"tq2_0", 35}, {"q2_0", 42}, {"auto", 35}}) {
    const ScratchFolder folder;
    ExportSettings settings;
    settings.gguf_type = setting;
    test::write_exports(folder.path(), model, {"gguf"}, settings);
    EXPECT_EQ(join(verify_artifacts(folder.path())), "") << setting;
    const gguf_check::Container file(folder / "model.gguf");
    EXPECT_EQ(file.tensors.at("blk.0.ffn_up.weight").type, static_cast<std::uint32_t>(id));
  }
}

TEST(GgufExport, WritesTheContainerByteByByte) {
  const ScratchFolder folder;
  GgufFile file;
  file.set("a", std::uint32_t{7});
  file.set("b", std::vector<std::string>{"xy"});
  file.tensors.push_back({"t", {2, 3}, 0, 24, [] { return at::full({2, 3}, 1.0, at::kFloat); }});
  write_gguf(folder / "x.gguf", file);
  const std::string text = read_file(folder / "x.gguf");
  const auto u32 = [](std::uint32_t n) { return std::string(reinterpret_cast<const char*>(&n), 4); };
  const auto u64 = [](std::uint64_t n) { return std::string(reinterpret_cast<const char*>(&n), 8); };
  std::string expected = "GGUF" + u32(3) + u64(1) + u64(2) + u64(1) + "a" + u32(4) + u32(7) + u64(1) + "b" + u32(9) +
                         u32(8) + u64(1) + u64(2) + "xy" + u64(1) + "t" + u32(2) + u64(3) + u64(2) + u32(0) + u64(0);
  expected.resize((expected.size() + 31) / 32 * 32, '\0');
  for (int i = 0; i < 6; ++i) expected += u32(0x3F800000);
  expected.resize((expected.size() + 31) / 32 * 32, '\0');
  EXPECT_EQ(text, expected);
}

TEST(GgufExport, PutsTheHalvesOfALlamaHeadNextToEachOther) {
  const ModelConfig config = parse_model_config(llama_json(32, 32, true), "test");  // four heads of 8
  const std::vector<std::int64_t> order = gguf_row_order(config, "blk.0.attn_q.weight");
  EXPECT_EQ(std::vector<std::int64_t>(order.begin(), order.begin() + 10),
            (std::vector<std::int64_t>{0, 4, 1, 5, 2, 6, 3, 7, 8, 12}));
  EXPECT_EQ(gguf_row_order(config, "blk.0.attn_k.bias").size(), 16);
  EXPECT_TRUE(gguf_row_order(config, "blk.0.attn_v.weight").empty());
  EXPECT_TRUE(
      gguf_row_order(parse_model_config(llama_json(32, 32, true, "", "qwen2"), "test"), "blk.0.attn_q.weight").empty());
  const std::vector<std::int64_t> fused =
      gguf_row_order(parse_model_config(neox_json(32), "test"), "blk.0.attn_qkv.bias");
  EXPECT_EQ(fused[7], 7);   // the last row of the first head's q
  EXPECT_EQ(fused[8], 24);  // q of the second head, behind q, k and v of the first
  EXPECT_EQ(fused[32], 8);  // k of the first head
}

TEST(GgufExport, SaysTheModelAndTheTokenizer) {
  const ScratchFolder folder;
  test::write_exports(folder.path(), packed_of(llama_json(64, 128, true), kPerTensor), {"gguf"});
  const gguf_check::Container file(folder / "model.gguf");
  EXPECT_EQ(file.texts.at("general.architecture"), "llama");
  EXPECT_EQ(file.texts.at("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(file.numbers.at("llama.attention.head_count_kv"), 2);
  EXPECT_EQ(file.numbers.at("general.file_type"), 41);
  EXPECT_EQ(file.numbers.at("tokenizer.ggml.bos_token_id"), 256);
  EXPECT_EQ(file.lists.at("tokenizer.ggml.tokens").size(), 272);
  EXPECT_EQ(file.lists.at("tokenizer.ggml.tokens").back(), "[PAD271]");
  EXPECT_EQ(file.rows.at("tokenizer.ggml.token_type")[256], 3);
  EXPECT_FALSE(file.tensors.contains("output.weight"));
  EXPECT_MENTIONS(file.texts.at("tercet.choice"), "Q2_0, since TQ2_0 does not fit");
  EXPECT_EQ(file.tensors.at("token_embd.weight").type, 8);
}

TEST(GgufExport, CarriesTheTemplateOfAChatModel) {
  const ScratchFolder folder;
  const PackedModel model = packed_of(llama_json(64, 128, true), kPerTensor);
  test::write_exports(folder.path(), model, {"gguf"});
  EXPECT_FALSE(gguf_check::Container(folder / "model.gguf").texts.contains("tokenizer.chat_template"));
  folder.write("tokenizer/chat_template.jinja", "{% for message in messages %}{{ message }}{% endfor %}");
  ExportSettings settings;
  settings.model_folder = settings.tokenizer_folder = folder / "tokenizer";
  export_format("gguf").write(folder / "again.gguf", model, settings);
  EXPECT_EQ(gguf_check::Container(folder / "again.gguf").texts.at("tokenizer.chat_template"),
            "{% for message in messages %}{{ message }}{% endfor %}");
}

TEST(HfBitnet, PacksRowsAQuarterApartAndGivesTheInverseScale) {
  const ScratchFolder folder;
  PackedModel model = packed_of(llama_json(16, 16, true), kPerTensor);
  test::write_exports(folder.path(), model, {"hf-bitnet"});
  const auto weights = open_weights(folder / "hf-bitnet");
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  const at::Tensor packed = weights->tensor(name);
  EXPECT_EQ(packed.sizes().vec(), (std::vector<std::int64_t>{4, 16}));
  const StoredTensor& stored = test::tensor_of(model, "0.self_attn.q_proj.weight").stored;
  const at::Tensor levels = unpack_levels(stored);
  const auto code = [&](int row) { return levels[row][5].item<int>() + 1; };
  EXPECT_EQ(packed[1][5].item<int>(), code(1) | code(5) << 2 | code(9) << 4 | code(13) << 6);
  EXPECT_FLOAT_EQ(weights->tensor(name + "_scale").item<float>(), 1 / stored.scales.to(at::kFloat).item<float>());
  const json config = json::parse(read_file(folder / "hf-bitnet/config.json"));
  EXPECT_EQ(config["quantization_config"]["linear_class"], "bitlinear");
  EXPECT_EQ(config["quantization_config"]["modules_to_not_convert"], json::array({"lm_head"}));
  EXPECT_EQ(config["torch_dtype"], "float32");
}

// The first column is in the lowest bits; the stored number is level + 2^(b-1).
TEST(CompressedTensors, PacksValuesFromTheLowestBitOfEachWord) {
  const ScratchFolder folder;
  PackedModel model = packed_of(llama_json(16, 16, true), spec_of("int4", Granularity::kGroup, 8, false));
  test::write_exports(folder.path(), model, {"compressed-tensors"});
  const auto weights = open_weights(folder / "compressed-tensors");
  const std::string module = "model.layers.1.mlp.up_proj.weight_";
  const StoredTensor& stored = test::tensor_of(model, "1.mlp.up_proj.weight").stored;
  const at::Tensor levels = unpack_levels(stored);
  std::uint32_t word = 0, zeros = 0;
  for (unsigned j = 0; j < 8; ++j) {
    word |= static_cast<std::uint32_t>(levels[3][8 + j].item<int>() + 8) << 4 * j;
    zeros |= static_cast<std::uint32_t>(stored.zero_points[j][1].item<int>()) << 4 * j;
  }
  EXPECT_EQ(static_cast<std::uint32_t>(weights->tensor(module + "packed")[3][1].item<int>()), word);
  EXPECT_EQ(static_cast<std::uint32_t>(weights->tensor(module + "zero_point")[0][1].item<int>()), zeros);
  EXPECT_EQ(weights->tensor(module + "zero_point").sizes().vec(), (std::vector<std::int64_t>{2, 2}));
}

TEST(CompressedTensors, GivesEachKindOfLayerItsScheme) {
  const ScratchFolder folder;
  for (const test::ExportCase& each : test::export_cases()) {
    if (each.name == "mixed_bits") test::write_exports(folder.path(), each.model, each.formats);
  }
  const json config = json::parse(read_file(folder / "compressed-tensors/config.json"))["quantization_config"];
  EXPECT_EQ(config["ignore"], json::array({"lm_head", "model.layers.1.self_attn.o_proj"}));
  const json& four = config["config_groups"]["group_0"];
  EXPECT_EQ(four["weights"]["num_bits"], 4);
  EXPECT_EQ(four["targets"], json::array({"re:.*\\.down_proj$", "re:^model\\.layers\\.0\\.self_attn\\.q_proj$"}));
  EXPECT_EQ(config["config_groups"]["group_1"]["weights"]["strategy"], "channel");
}

TEST(HfFolders, AreCutIntoShardsBeyondALimit) {
  const ScratchFolder folder;
  ExportSettings settings;
  settings.shard_bytes = 20000;
  const PackedModel model = packed_of(llama_json(64, 128, true), kPerTensor);
  test::write_exports(folder.path(), model, {"hf-bitnet"}, settings);
  for (const char* place : {"hf", "hf-bitnet"}) {
    const json index = json::parse(read_file(folder / place / "model.safetensors.index.json"));
    EXPECT_FALSE(std::filesystem::exists(folder / place / "model.safetensors"));
    EXPECT_GT(index["metadata"]["total_size"], 20000);
    const auto files = open_weights(folder / place)->files();
    EXPECT_GE(files.size(), 2);
    for (const auto& file : files) EXPECT_LT(std::filesystem::file_size(file), 40000) << "a shard of two tensors";
  }
  EXPECT_EQ(join(verify_artifacts(folder.path())), "");
}

TEST(HfFolders, InShardsAreCheckedAsWholeOnesAre) {
  const ScratchFolder folder;
  ExportSettings settings;
  settings.shard_bytes = 20000;
  const PackedModel model = packed_of(llama_json(64, 128, true), kPerTensor);
  test::write_exports(folder.path(), model, {}, settings);
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const std::filesystem::path shard = open_weights(folder / "hf")->tensors().at(name).file;
  const auto source = open_safetensors(shard);
  NamedTensors tensors;
  for (const auto& [each, info] : source->tensors()) tensors.emplace_back(each, source->tensor(each).clone());
  for (auto& [each, tensor] : tensors) {
    if (each == name) static_cast<std::uint16_t*>(tensor.mutable_data_ptr())[5] ^= 1;
  }
  write_safetensors(shard, tensors);
  EXPECT_MENTIONS(join(verify_artifacts(folder.path())), shard.filename().string() + " has another SHA-256");
  test::write_metadata(folder.path());
  EXPECT_EQ(join(verify_artifacts(folder.path())),
            "tensor '" + name + "' of hf differs from its packed codes in 1 of 8192 values\n");
  json metadata = json::parse(read_file(folder / "compression_metadata.json"));
  metadata["files"].erase("hf/" + shard.filename().string());
  write_file_atomically(folder / "compression_metadata.json", metadata.dump());
  EXPECT_MENTIONS(join(verify_artifacts(folder.path())), "gives no SHA-256 of hf/" + shard.filename().string());
  std::filesystem::remove(shard);
  EXPECT_MENTIONS(join(verify_artifacts(folder.path())), "does not exist");
}

}  // namespace
}  // namespace tercet
