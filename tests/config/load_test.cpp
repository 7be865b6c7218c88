#include <gtest/gtest.h>

#include "config/config_file.hpp"
#include "support/errors.hpp"

namespace tercet {
namespace {

TEST(Load, AnEmptyFileGivesTheDefaults) {
  const JobConfig config = load("# nothing but a comment\n");
  EXPECT_EQ(to_yaml(config), to_yaml(JobConfig{}));
  EXPECT_TRUE(config.written.empty());
}

TEST(Load, EveryTypeOfValueIsRead) {
  const JobConfig config = load(
      "name: trial\nseed: 7\n"
      "training: {tokens: 2e6, learning_rate: .5e-3, enabled: false, optimizer: adamw}\n"
      "quantization:\n  skip: ['*.down_proj.*', \"lm_head?\"]\n"
      "calibration:\n  samples: 112\n");
  EXPECT_EQ(config.name, "trial");
  EXPECT_EQ(config.seed, 7);
  EXPECT_EQ(config.training.tokens, 2000000);
  EXPECT_DOUBLE_EQ(config.training.learning_rate, 5e-4);
  EXPECT_FALSE(config.training.enabled);
  EXPECT_EQ(config.training.optimizer, "adamw");
  EXPECT_EQ(config.quantization.skip, (std::vector<std::string>{"*.down_proj.*", "lm_head?"}));
  EXPECT_EQ(config.calibration.samples, 112);
  const std::vector<std::string> written = {"name",
                                            "seed",
                                            "training.tokens",
                                            "training.learning_rate",
                                            "training.enabled",
                                            "training.optimizer",
                                            "quantization.skip",
                                            "calibration.samples"};
  EXPECT_EQ(config.written, written);
}

TEST(Load, SourcesArePlainPathsOrGroups) {
  const JobConfig config = load("data: {sources: [/a.txt, {path: /b.jsonl, weight: 2.5, field: body}]}\n");
  ASSERT_EQ(config.data.sources.size(), 2u);
  EXPECT_EQ(config.data.sources[0].path, "/a.txt");
  EXPECT_DOUBLE_EQ(config.data.sources[0].weight, 1.0);
  EXPECT_EQ(config.data.sources[1].path, "/b.jsonl");
  EXPECT_DOUBLE_EQ(config.data.sources[1].weight, 2.5);
  EXPECT_EQ(config.data.sources[1].field, "body");
}

TEST(Load, SectionWithAllKeysCommentedOutIsFine) {
  EXPECT_EQ(mistakes("training:\n  # tokens: 5\nname: x\n"), "");
}

TEST(Load, RelativePathsStartFromTheFolderOfTheFile) {
  const ConfigFile file(
      "output: ../runs/x/\nmodel: {path: m, tokenizer: ./t}\n"
      "data: {sources: ['text/**/*.txt', {path: b.txt}], evaluation: [e.txt], cache: /c}\npretrain: {tokenizer: p}\n");
  const JobConfig config = load_job_config(file.path(), {});
  const std::filesystem::path folder = file.folder();
  EXPECT_EQ(config.output, (folder.parent_path() / "runs/x").string());
  EXPECT_EQ(config.model.path, (folder / "m").string());
  EXPECT_EQ(config.model.tokenizer, (folder / "t").string());
  EXPECT_EQ(config.data.sources[0].path, (folder / "text/**/*.txt").string());
  EXPECT_EQ(config.data.sources[1].path, (folder / "b.txt").string());
  EXPECT_EQ(config.data.evaluation[0], (folder / "e.txt").string());
  EXPECT_EQ(config.data.cache, "/c");
  EXPECT_EQ(config.pretrain.tokenizer, (folder / "p").string());
}

TEST(Load, AHomeFolderMarkIsNotSilentlyTakenAsAName) {
  EXPECT_EQ(mistakes("output: ~/runs\n"),
            "job.yaml:1:9: output: '~' is not expanded in a configuration; write the whole path");
}

TEST(Override, ReplacesTheValueOfTheFileAndIsRecorded) {
  const JobConfig config = load("training: {tokens: 8192}\n", {"training.tokens=3e5", "seed=9", "seed=10"});
  EXPECT_EQ(config.training.tokens, 300000);
  EXPECT_EQ(config.seed, 10);
  EXPECT_EQ(config.written, (std::vector<std::string>{"training.tokens", "seed"}));
}

TEST(Override, PathsStartFromTheCurrentFolderAndMayHoldAnyCharacter) {
  const JobConfig config = load("output: a\n", {"output=run: #1 [x]", "data.sources=[t.txt, {path: u, weight: 2}]"});
  EXPECT_EQ(config.output, (std::filesystem::current_path() / "run: #1 [x]").string());
  EXPECT_EQ(config.data.sources[0].path, (std::filesystem::current_path() / "t.txt").string());
  EXPECT_DOUBLE_EQ(config.data.sources[1].weight, 2.0);
}

TEST(Override, AWholeSectionAndAnEmptyTextCanBeGiven) {
  const JobConfig config =
      load("model: {tokenizer: t}\n", {"model.tokenizer=", "gates.sparsity={severity: off, maximum: 0.6}"});
  EXPECT_EQ(config.model.tokenizer, "");
  EXPECT_EQ(config.gates.sparsity.severity, "off");
  EXPECT_DOUBLE_EQ(config.gates.sparsity_max, 0.6);
}

TEST(Override, GoesThroughTheSameChecks) {
  EXPECT_EQ(mistakes("", {"training.tokens=010"}),
            "--set training.tokens: '010' looks octal; write it without leading zeros");
  EXPECT_EQ(mistakes("", {"training.token=5"}), "--set training.token: unknown key; did you mean 'training.tokens'?");
  EXPECT_EQ(mistakes("", {"training.tokens"}), "--set training.tokens: is not of the form a.b=c");
  EXPECT_EQ(mistakes("", {"=5"}), "--set : is not of the form a.b=c");
  EXPECT_EQ(mistakes("", {"data.sources=[{weight: 0, path: a}]"}),
            "--set data.sources: data.sources[0].weight: must be above 0, not 0");
  EXPECT_NE(mistakes("", {"data.sources=[a"}).find("--set data.sources: not valid YAML"), std::string::npos);
  EXPECT_EQ(mistakes("", {"training={tokens: 8192, tokens: 8192}"}), "--set training: training.tokens: given twice");
}

TEST(RequireKeys, NamesEverythingThatIsMissing) {
  const JobConfig config = load("model: {path: m}\n");
  require_keys(config, {"model.path", "seed", "training.enabled"});
  const std::string message = test::message_of<ConfigError>([&] {
    require_keys(config, {"model.path", "output", "data.sources"});
  });
  EXPECT_MENTIONS(message, "configuration: output: is needed here");
  EXPECT_MENTIONS(message, "configuration: data.sources: is needed here");
  EXPECT_EQ(message.find("model.path"), std::string::npos) << message;
}

TEST(AdaptToSize, CategoriesChangeAtTheSeedsBounds) {
  EXPECT_EQ(size_category(49'999'999), "tiny");
  EXPECT_EQ(size_category(50'000'000), "small");
  EXPECT_EQ(size_category(500'000'000), "medium");
  EXPECT_EQ(size_category(2'000'000'000), "large");
  EXPECT_EQ(compression_target(1), 6);
  EXPECT_EQ(compression_target(100'000'000), 8);
  EXPECT_EQ(compression_target(1'000'000'000), 10);
  EXPECT_EQ(compression_target(7'000'000'000), 12);
}

TEST(AdaptToSize, FillsOnlyWhatTheUserLeftOpen) {
  JobConfig open = load("");
  adapt_to_size(open, 1'000'000'000);
  EXPECT_EQ(open.calibration.samples, 2000);
  EXPECT_DOUBLE_EQ(open.gates.compression.threshold, 10);

  JobConfig written = load("calibration: {samples: 77}\n", {"gates.compression.threshold=3.5"});
  adapt_to_size(written, 1'000'000'000);
  EXPECT_EQ(written.calibration.samples, 77);
  EXPECT_DOUBLE_EQ(written.gates.compression.threshold, 3.5);
}

TEST(AdaptToSize, JudgesAResultByTheRatioThatWasAskedFor) {
  JobConfig config = load("", {"target.ratio=4"});
  adapt_to_size(config, 1000);
  EXPECT_DOUBLE_EQ(config.gates.compression.threshold, 4);
  config = load("", {"target.ratio=4", "gates.compression.threshold=0"});
  adapt_to_size(config, 1000);
  EXPECT_DOUBLE_EQ(config.gates.compression.threshold, 6) << "0 asks for that of the size";
}

TEST(AdaptToSize, JudgesAResultByTheQualityThatWasAskedFor) {
  const auto threshold = [](const std::vector<std::string>& settings) {
    JobConfig config = load("", settings);
    adapt_to_size(config, 1000);
    return config.gates.perplexity.threshold;
  };
  EXPECT_DOUBLE_EQ(threshold({}), 0.1);
  EXPECT_DOUBLE_EQ(threshold({"target.perplexity_degradation=0.02"}), 0.02);
  EXPECT_DOUBLE_EQ(threshold({"target.perplexity_degradation=0.02", "gates.perplexity.threshold=0.1"}), 0.1);
}

}  // namespace
}  // namespace tercet
