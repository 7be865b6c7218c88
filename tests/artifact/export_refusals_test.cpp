// What an export cannot express is said before anything is written.
#include <gtest/gtest.h>

#include "export_models.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using test::gpt2_json;
using test::kPerTensor;
using test::llama_json;
using test::neox_json;
using test::packed_of;
using test::ScratchFolder;
using test::spec_of;

const FormatSpec kPerRow = spec_of("ternary", Granularity::kChannel);

std::string refusal_of(const std::string& format, const PackedModel& model, const std::string& gguf_type = "auto") {
  const ScratchFolder tokenizer;
  write_byte_tokenizer(tokenizer.path());
  ExportSettings settings;
  settings.gguf_type = gguf_type;
  settings.tokenizer_folder = tokenizer.path();
  return test::message_of<ConfigError>([&] { check_exports({format}, model, settings); });
}

TEST(Refusals, NameTheKeyTheReasonAndWhatWorks) {
  EXPECT_EQ(refusal_of("hf-bitnet", packed_of(llama_json(64, 128, true), kPerRow)),
            "export.formats: 'hf-bitnet' cannot hold this model ('model.layers.0.self_attn.q_proj.weight' has a scale "
            "for each channel, and BitLinear has one for a matrix); quantization.granularity: tensor works");
  EXPECT_EQ(
      refusal_of("gguf", packed_of(llama_json(64, 172, true), kPerTensor)),
      "export.formats: 'gguf' cannot hold this model (of 'model.layers.0.mlp.down_proj.weight': the blocks of Q2_0 "
      "have 64 values, which do not divide 172); quantization.skip: ['model.layers.0.mlp.down_proj.weight'] stores "
      "it as fp16");
}

TEST(Refusals, CoverWhatEachFormatCannotExpress) {
  const auto group = [](const std::string& format, std::int64_t size, bool symmetric = true) {
    return spec_of(format, Granularity::kGroup, size, symmetric);
  };
  EXPECT_MENTIONS(refusal_of("hf-bitnet", packed_of(gpt2_json(64), kPerTensor)), "Conv1D");
  EXPECT_MENTIONS(refusal_of("compressed-tensors", packed_of(gpt2_json(64), kPerTensor)), "Conv1D");
  EXPECT_MENTIONS(refusal_of("hf-bitnet", packed_of(llama_json(64, 128, true), group("int4", 32))), "only trits");
  EXPECT_MENTIONS(refusal_of("hf-bitnet", packed_of(llama_json(64, 90, true), kPerTensor)), "90 rows");
  PackedModel sixteen = packed_of(llama_json(64, 128, true), kPerTensor);
  sixteen.activation_bits = 16;
  EXPECT_MENTIONS(refusal_of("hf-bitnet", sixteen), "activation_bits: 8 works");
  EXPECT_MENTIONS(refusal_of("kernels", sixteen), "activation_bits: 8 works");
  EXPECT_MENTIONS(refusal_of("kernels", packed_of(llama_json(64, 128, true), group("ternary", 8), group("int8", 2))),
                  "groups of 2 are no multiple");
  EXPECT_MENTIONS(refusal_of("kernels", packed_of(llama_json(64, 128, true), FormatSpec{}, FormatSpec{})),
                  "no matrix is quantized");
  EXPECT_MENTIONS(refusal_of("gguf", packed_of(llama_json(64, 128, true), group("int4", 32, false))),
                  "quantization.symmetric: true works");
  EXPECT_MENTIONS(refusal_of("gguf", packed_of(llama_json(192, 192, true), kPerTensor), "tq2_0"), "do not divide 192");
  EXPECT_MENTIONS(refusal_of("gguf", packed_of(llama_json(256, 256, true), group("ternary", 128)), "tq1_0"),
                  "groups of a multiple of 256");
  EXPECT_MENTIONS(refusal_of("gguf", packed_of(neox_json(64, true), kPerTensor)), "no tied head");
  EXPECT_MENTIONS(
      refusal_of("gguf", packed_of(llama_json(64, 128, true, R"(, "attention_bias": true)", "qwen3"), kPerTensor)),
      "no biases");
  EXPECT_MENTIONS(refusal_of("compressed-tensors", packed_of(llama_json(64, 96, true), group("ternary", 64))),
                  "groups of 64 do not divide the 96 inputs");
  EXPECT_MENTIONS(test::message_of<ConfigError>([] { export_format("ggml"); }), "known are gguf, hf-bitnet");
}

TEST(Refusals, AreRepeatedByTheWriters) {
  const ScratchFolder folder;
  const PackedModel model = packed_of(gpt2_json(64), kPerTensor);
  EXPECT_THROW(export_format("hf-bitnet").write(folder / "hf-bitnet", model, {}), ConfigError);
  EXPECT_FALSE(std::filesystem::exists(folder / "hf-bitnet"));
}

}  // namespace
}  // namespace tercet
