// Study files: rows and grids into elements, the control, and mistakes with their places.
#include <gtest/gtest.h>

#include "config/config_file.hpp"
#include "support/errors.hpp"
#include "tercet/config/study_config.hpp"

namespace tercet {
namespace {

const std::string kCommon =
    "output: out\n"
    "seeds: [4, 9]\n"
    "settings: {model: {path: m}, data: {sources: [text]}, training: {tokens: 8192, learning_rate: 2e-3}}\n";
const std::string kTwoRows = kCommon +
                             "rows:\n"
                             "  - {name: plain}\n"
                             "  - {name: more, set: {training.tokens: 16384, quantization.group_size: 64}}\n";

StudyConfig load_study(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return load_study_config(ConfigFile(text).path(), overrides);
}

std::string study_mistakes(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    load_study(text, overrides);
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

std::vector<std::string> names_of(const StudyConfig& study) {
  std::vector<std::string> names;
  for (const StudyElement& element : study.elements) names.push_back(element.name);
  return names;
}

TEST(Study, EveryRowAndTheControlMeetEverySeed) {
  const StudyConfig study = load_study(kTwoRows);
  EXPECT_EQ(names_of(study),
            (std::vector<std::string>{"plain-s4", "more-s4", "control-s4", "plain-s9", "more-s9", "control-s9"}));
  ASSERT_EQ(study.rows.size(), 3u);
  EXPECT_TRUE(study.rows[2].is_control);
  for (const StudyElement& element : study.elements) {
    EXPECT_EQ(element.config.seed, element.name.back() - '0');
    EXPECT_EQ(element.name.substr(0, element.name.size() - 3), study.rows[element.row].name);
    EXPECT_EQ(element.config.name, element.name);
  }
}

TEST(Study, ARowIsLaidOverTheSettingsAndTheSettingsOverTheBase) {
  const ConfigFile file(kTwoRows + "base: there/base.yaml\n");
  test::write_text_file(file.folder() / "there/base.yaml",
                        "name: theirs\noutput: elsewhere\nseed: 77\nmodel: {path: theirs}\n"
                        "training: {tokens: 4096, beta1: 0.8}\ndata: {evaluation: [held.txt]}\n");
  const StudyConfig study = load_study_config(file.path(), {});
  const JobConfig &plain = study.elements[0].config, &more = study.elements[1].config;
  EXPECT_EQ(plain.training.tokens, 8192);
  EXPECT_EQ(more.training.tokens, 16384);
  EXPECT_EQ(more.quantization.group_size, 64);
  EXPECT_EQ(plain.quantization.group_size, QuantizationSection{}.group_size);
  EXPECT_EQ(more.training.beta1, 0.8);
  EXPECT_EQ(more.seed, 4);
  EXPECT_EQ(more.model.path, (file.folder() / "m").string());
  EXPECT_EQ(more.data.evaluation.at(0), (file.folder() / "there/held.txt").string()) << "paths start from their file";
  EXPECT_EQ(more.output, (file.folder() / "out/runs/more-s4").string());
  EXPECT_EQ(more.data.cache, (file.folder() / "out/tokens").string());
}

TEST(Study, AGridIsEveryCombinationNamedForItsValues) {
  const StudyConfig study = load_study(kCommon +
                                       "control: false\n"
                                       "vary:\n"
                                       "  training.distillation: [1, 0.5]\n"
                                       "  training.learning_rate: [1e-3, 3e-4]\n"
                                       "  quantization.format: [int4]\n");
  ASSERT_EQ(study.rows.size(), 4u);
  EXPECT_EQ(study.rows[0].name, "distillation-1_learning_rate-1e-3_format-int4");
  EXPECT_EQ(study.rows[1].name, "distillation-1_learning_rate-3e-4_format-int4");
  EXPECT_EQ(study.rows[2].name, "distillation-0.5_learning_rate-1e-3_format-int4");
  EXPECT_EQ(study.elements[3].config.training.distillation, 0.5);
  EXPECT_EQ(study.elements[3].config.training.learning_rate, 3e-4);
  EXPECT_EQ(study.elements[3].config.quantization.format, "int4");
  EXPECT_EQ(study.elements.size(), 8u);
}

TEST(Study, KeysOfTheSameLastPartAreNamedWhole) {
  const StudyConfig study =
      load_study(kCommon + "vary: {training.learning_rate: [1e-3], blockwise.learning_rate: [1e-4]}\n");
  EXPECT_EQ(study.rows[0].name, "training.learning_rate-1e-3_blockwise.learning_rate-1e-4");
}

TEST(Study, TheControlIsTheBaseWithNothingQuantized) {
  const StudyConfig study = load_study(kCommon + "rows: [{name: plain}]\n",
                                       {"quantization.rule=absmean", "blockwise.enabled=true", "target.like=int3",
                                        "training.polish_tokens=4096", "export.formats=[gguf]"});
  const JobConfig &row = study.elements[0].config, &control = study.elements[1].config;
  EXPECT_EQ(row.quantization.rule, "absmean");
  EXPECT_EQ(control.quantization.format, "float16");
  EXPECT_EQ(control.quantization.embedding_bits, "16");
  EXPECT_EQ(control.quantization.head_bits, "16");
  EXPECT_EQ(control.quantization.activation_bits, 16);
  EXPECT_FALSE(control.blockwise.enabled);
  EXPECT_FALSE(has_target(control));
  EXPECT_EQ(control.training.polish_tokens, 0);
  EXPECT_TRUE(control.exports.formats.empty());
  EXPECT_EQ(control.gates.compression.severity, "off");
  EXPECT_EQ(control.gates.sparsity.severity, "off");
  EXPECT_EQ(control.training.tokens, row.training.tokens);
  EXPECT_EQ(control.training.learning_rate, row.training.learning_rate);
  EXPECT_EQ(control.seed, row.seed);
}

TEST(Study, TheCommandLineReachesTheStudyAndItsJobs) {
  const StudyConfig study = load_study(
      kTwoRows, {"seeds=[7]", "output=else: where", "packing.ranks=3", "control=false", "training.beta1=0.7"});
  ASSERT_EQ(study.elements.size(), 2u);
  EXPECT_EQ(study.elements[0].config.seed, 7);
  EXPECT_EQ(study.output, (std::filesystem::current_path() / "else: where").string());
  EXPECT_EQ(study.elements[1].ranks, 3);
  EXPECT_EQ(study.elements[1].config.training.beta1, 0.7);
}

TEST(Study, AnOverrideOfWhatARowSetsIsRefused) {
  EXPECT_MENTIONS(study_mistakes(kTwoRows, {"training.tokens=4096"}), "is what row 'more' sets itself");
  EXPECT_MENTIONS(study_mistakes(kTwoRows, {"training={tokens: 4096}"}), "is what row 'more' sets itself");
  EXPECT_MENTIONS(study_mistakes(kTwoRows, {"trainin.tokens=4096"}), "unknown key");
}

TEST(Study, SaysEveryMistakeWithItsPlace) {
  const std::string said = study_mistakes(
      "output: out\n"
      "seed: [1]\n"
      "seeds: [1, 1, -2]\n"
      "rows:\n"
      "  - {name: a/b}\n"
      "  - {name: c, set: {training.destillation: 1, seed: 3, training.tokens: many}}\n"
      "  - {name: c, sets: {}}\n"
      "  - {name: control}\n"
      "  - {set: {}}\n");
  EXPECT_MENTIONS(said, "job.yaml:2:1: seed: unknown key; did you mean 'seeds'?");
  EXPECT_MENTIONS(said, "seeds[1]: is given twice");
  EXPECT_MENTIONS(said, "seeds[2]: must be");
  EXPECT_MENTIONS(said, "rows[0].name: must be letters");
  EXPECT_MENTIONS(said, "job.yaml:6:47: seed: is given to each element by the study");
  EXPECT_MENTIONS(said, "did you mean 'set'?");
  EXPECT_MENTIONS(said, "is that of the control");
  EXPECT_MENTIONS(said, "needs a name");
}

TEST(Study, SaysWhatOnlyTheCombinationShowsOnceAndWhere) {
  const std::string said = study_mistakes(
      kCommon + "rows: [{name: a, set: {training.destillation: 1}}, {name: b, set: {training.tokens: 10}}]\n");
  EXPECT_MENTIONS(said, "training.destillation: unknown key; did you mean 'training.distillation'? (in row a)");
  EXPECT_MENTIONS(said, "must hold at least one step");
  EXPECT_MENTIONS(said, "(in row b)");
  EXPECT_MENTIONS(said, "has 2 mistakes");  // and not one for each seed
}

TEST(Study, NeedsRowsAnOutputAModelAndText) {
  EXPECT_MENTIONS(study_mistakes("rows: [{name: a}]\n"), "output: is needed here");
  EXPECT_MENTIONS(study_mistakes("output: out\n"), "must list at least one row");
  const std::string said = study_mistakes("output: out\nrows: [{name: a}]\n");
  EXPECT_MENTIONS(said, "model.path: is needed");
  EXPECT_MENTIONS(said, "data.sources: is needed");
  EXPECT_MENTIONS(study_mistakes(kTwoRows + "vary: {training.beta1: [0.9]}\n"), "give one of them");
  EXPECT_MENTIONS(study_mistakes(kCommon + "vary: {training.beta1: []}\n"), "has a key without values");
  EXPECT_MENTIONS(study_mistakes(kCommon + "vary: {data.sources: [[a]]}\n"), "must list plain values");
}

TEST(Study, TheOnesOfTheProjectLoad) {
  for (const char* name : {"smoke", "default", "ternary-ingredients", "ternary-more", "bit-widths"}) {
    const StudyConfig study = load_study_config(source_tree() / "configs/studies" / (std::string(name) + ".yaml"), {});
    EXPECT_TRUE(study.rows.back().is_control) << name;
    for (const StudyElement& element : study.elements) {
      const ConfigFile file(to_yaml(element.config));
      EXPECT_EQ(fingerprint(load_job_config(file.path(), {})), fingerprint(element.config)) << element.name;
    }
  }
}

}  // namespace
}  // namespace tercet
