#include "tercet/report/metadata.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <set>

#include "sample_run.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/hash.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using test::sample_results;
using test::sample_verdict;

nlohmann::json metric(const RunResults& results, const std::string& name) {
  return compression_metrics(results, sample_verdict()).at("compression/" + name);
}

// The names that the original system declared (19, one of them twice the same quantity there).
TEST(CompressionMetrics, AreTheNineteenOfTheSeed) {
  const std::set<std::string> names = {"original_size_mb",
                                       "pre_perplexity",
                                       "pre_eval_loss",
                                       "compressed_size_mb",
                                       "ratio",
                                       "layers_compressed",
                                       "sparsity_ratio",
                                       "quantized_params",
                                       "total_params",
                                       "layers_quantized",
                                       "post_perplexity",
                                       "perplexity_degradation",
                                       "accuracy_preserved",
                                       "dequantization_accuracy",
                                       "gradient_flow_test_passed",
                                       "post_finetune_perplexity",
                                       "perplexity_recovery",
                                       "fine_tune_epochs",
                                       "fine_tune_time_hours"};
  ASSERT_EQ(names.size(), 19u);
  const auto metrics = compression_metrics(sample_results(), sample_verdict());
  EXPECT_EQ(metrics.size(), 19u);
  EXPECT_EQ(metric_definitions().size(), 19u);
  for (const std::string& name : names) {
    EXPECT_TRUE(metrics.contains("compression/" + name)) << name;
    EXPECT_FALSE(metrics.at("compression/" + name).is_null()) << name;
    EXPECT_TRUE(metric_definitions().contains("compression/" + name)) << name;
  }
}

TEST(CompressionMetrics, HaveTheValuesTheirDefinitionsGive) {
  const RunResults results = sample_results();
  EXPECT_EQ(metric(results, "original_size_mb"), 2.0);
  EXPECT_EQ(metric(results, "compressed_size_mb"), 0.5);
  EXPECT_EQ(metric(results, "ratio"), 4000000.0 / 524288.0);
  EXPECT_EQ(metric(results, "pre_eval_loss"), 3.0);
  EXPECT_EQ(metric(results, "layers_compressed"), 43);
  EXPECT_EQ(metric(results, "layers_quantized"), 42);
  EXPECT_EQ(metric(results, "sparsity_ratio"), 0.3);
  EXPECT_EQ(metric(results, "quantized_params"), 800000);
  EXPECT_EQ(metric(results, "total_params"), 1000000);
  EXPECT_EQ(metric(results, "post_perplexity"), 50.0);
  EXPECT_EQ(metric(results, "perplexity_degradation"), 1.5);
  EXPECT_EQ(metric(results, "accuracy_preserved"), true);
  EXPECT_EQ(metric(results, "dequantization_accuracy"), 0.9995);
  EXPECT_EQ(metric(results, "gradient_flow_test_passed"), true);
  EXPECT_EQ(metric(results, "post_finetune_perplexity"), 21.0);
  EXPECT_EQ(metric(results, "perplexity_recovery"), 29.0);
  EXPECT_EQ(metric(results, "fine_tune_epochs"), 1.25);
  EXPECT_EQ(metric(results, "fine_tune_time_hours"), 0.5);
}

TEST(CompressionMetrics, AreNullWhereNothingWasMeasured) {
  const auto metrics = compression_metrics({}, {});
  for (const char* name : {"original_size_mb", "pre_perplexity", "ratio", "sparsity_ratio", "post_perplexity",
                           "perplexity_degradation", "accuracy_preserved", "gradient_flow_test_passed"}) {
    EXPECT_TRUE(metrics.at(std::string("compression/") + name).is_null()) << name;
  }
}

TEST(CompressionMetrics, WithoutFineTuningSayThatThereWasNone) {
  RunResults results = sample_results();
  results.fine_tuning = std::nullopt;
  EXPECT_TRUE(metric(results, "post_finetune_perplexity").is_null());
  EXPECT_TRUE(metric(results, "perplexity_recovery").is_null());
  EXPECT_EQ(metric(results, "fine_tune_epochs"), 0.0);
}

TEST(CompressionMetrics, OfADivergedModelAreNullAndNotAWord) {
  RunResults results = sample_results();
  results.quantized.perplexity = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(metric(results, "post_perplexity").is_null());
  EXPECT_TRUE(metric(results, "perplexity_degradation").is_null());
}

TEST(Metadata, HoldsWhatTheNextPhaseAsksFor) {
  MetadataInput input;
  input.results = sample_results();
  input.verdict = sample_verdict();
  input.config = {{"seed", 42}};
  input.created = 1764000000.0;
  const auto metadata = nlohmann::json::parse(compression_metadata(input).dump());
  EXPECT_EQ(metadata.at("compression_method"), "BitNet-1.58");
  EXPECT_EQ(metadata.at("quantization_bits"), 1.58);
  EXPECT_EQ(metadata.at("config").at("seed"), 42);
  EXPECT_EQ(metadata.at("metrics").size(), 19u);
  EXPECT_EQ(metadata.at("success"), true);
  EXPECT_EQ(metadata.at("gradient_flow_test"), true);
  EXPECT_EQ(metadata.at("timestamp"), "2025-11-24T16:00:00Z");
  EXPECT_EQ(metadata.at("compression_ratios").at("fp16"), 2000000.0 / 524288.0);
  EXPECT_EQ(metadata.at("gates").at("compression").at("verdict"), "pass");
  EXPECT_EQ(metadata.at("gates").at("speedup").at("value"), 3.0);
  EXPECT_EQ(metadata.at("more_metrics").at("inference_speedup"), 3.0);
  EXPECT_EQ(metadata.at("more_metrics").at("decode_tokens_per_second"), 1200.0);
  EXPECT_EQ(metadata.at("speed").at("processor"), "Some Processor");
  EXPECT_EQ(metadata.at("tasks").at(0).at("task"), "hellaswag");
  EXPECT_EQ(metadata.at("tasks").at(0).at("packed").at("acc_norm"), 0.48);
  EXPECT_FALSE(metadata.at("tasks").at(1).at("before").contains("acc_norm"));
}

TEST(Metadata, HasNoSpeedWhereNoneWasMeasured) {
  MetadataInput input;
  input.results = sample_results();
  input.results.speed = DecodeSpeed{.refusal = "no kernels"};
  const auto metadata = compression_metadata(input);
  for (const char* name : {"inference_speedup", "decode_tokens_per_second", "decode_tokens_per_second_fp32"})
    EXPECT_TRUE(metadata.at("more_metrics").at(name).is_null()) << name;
  EXPECT_EQ(metadata.at("speed").at("refusal"), "no kernels");
}

TEST(Metadata, ListsEveryFileWithItsHashButNotItself) {
  const test::ScratchFolder scratch;
  fs::create_directories(scratch.path() / "tokenizer");
  std::ofstream(scratch.path() / "model.pt") << "weights";
  std::ofstream(scratch.path() / "tokenizer" / "tokenizer.json") << "{}";
  std::ofstream(scratch.path() / "compression_metadata.json") << "{}";
  const auto files = file_table(scratch.path());
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files.at("model.pt"), sha256_hex("weights"));
  EXPECT_TRUE(files.contains("tokenizer/tokenizer.json"));
}

TEST(Metadata, CarriesTheSumOfAllElse) {
  const auto metadata = nlohmann::json::parse(metadata_text({{"b", 0.1}, {"a", nullptr}}));
  EXPECT_EQ(metadata.at("metadata_sha256"), sha256_hex(std::string_view(R"({"a":null,"b":0.1})")));
  EXPECT_EQ(metadata_text(metadata), metadata_text({{"b", 0.1}, {"a", nullptr}})) << "made again, not of itself";
}

}  // namespace
}  // namespace tercet
