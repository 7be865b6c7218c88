// Family files: expansion into elements, and mistakes with their places.
#include <gtest/gtest.h>

#include "config/config_file.hpp"
#include "config/family_schema.hpp"
#include "tercet/config/family_config.hpp"

namespace tercet {
namespace {

FamilyConfig load_family(const std::string& text) {
  return load_family_config(ConfigFile(text).path());
}

std::string family_mistakes(const std::string& text) {
  const ConfigFile file(text);
  try {
    load_family_config(file.path());
    return "";
  } catch (const ConfigError& error) {
    std::string message = error.what();
    const std::string folder = file.folder().string() + "/";
    for (std::size_t at; (at = message.find(folder)) != std::string::npos;) message.erase(at, folder.size());
    return message;
  }
}

const std::string kTwoByTwo =
    "output: out\n"
    "defaults: {seed: 5, training: {tokens: 8192}, data: {sources: [text]}}\n"
    "models:\n"
    "  - {name: a, path: models/a}\n"
    "  - {name: b, path: models/b, ranks: 3, cpus: 0, settings: {training: {tokens: 16384}}}\n"
    "targets:\n"
    "  - {name: x}\n"
    "  - {name: y, settings: {training: {tokens: 32768}, quantization: {group_size: 64}}}\n"
    "packing: {ranks: 2, cpus: 4}\n";

TEST(Family, EveryModelMeetsEveryTargetInTheOrderOfTheFile) {
  const FamilyConfig family = load_family(kTwoByTwo);
  ASSERT_EQ(family.elements.size(), 4u);
  EXPECT_EQ(family.elements[0].name, "a-x");
  EXPECT_EQ(family.elements[1].name, "a-y");
  EXPECT_EQ(family.elements[2].name, "b-x");
  EXPECT_EQ(family.elements[3].name, "b-y");
}

TEST(Family, ATargetIsLaidOverTheModelAndTheModelOverTheDefaults) {
  const FamilyConfig family = load_family(kTwoByTwo);
  const auto tokens = [&](std::size_t index) { return family.elements[index].config.training.tokens; };
  EXPECT_EQ(tokens(0), 8192);
  EXPECT_EQ(tokens(1), 32768);
  EXPECT_EQ(tokens(2), 16384);
  EXPECT_EQ(tokens(3), 32768);
  for (const FamilyElement& element : family.elements) EXPECT_EQ(element.config.seed, 5);
  EXPECT_EQ(family.elements[3].config.quantization.group_size, 64);
  EXPECT_EQ(family.elements[2].config.quantization.group_size, QuantizationSection{}.group_size);
}

TEST(Family, ElementsGetTheirModelTheirNameAndASharedCache) {
  const ConfigFile file(kTwoByTwo);
  const FamilyConfig family = load_family_config(file.path());
  const JobConfig& job = family.elements[3].config;
  EXPECT_EQ(job.name, "b-y");
  EXPECT_EQ(job.model.path, (file.folder() / "models/b").string());
  EXPECT_EQ(job.data.sources[0].path, (file.folder() / "text").string());
  EXPECT_EQ(job.data.cache, (file.folder() / "out/tokens").string());
  EXPECT_EQ(job.output, "");
}

TEST(Family, AModelMayTakeMoreOfTheNodeThanTheOthers) {
  const FamilyConfig family = load_family(kTwoByTwo);
  EXPECT_EQ(family.elements[0].ranks, 2);
  EXPECT_EQ(family.elements[0].cpus, 4);
  EXPECT_EQ(family.elements[2].ranks, 3);
  EXPECT_EQ(family.elements[2].cpus, 0);
}

TEST(Family, TheConfigurationOfAnElementCanBeWrittenAndLoadedAgain) {
  const JobConfig job = load_family(kTwoByTwo).elements[3].config;
  const JobConfig again = load(to_yaml(job));
  EXPECT_EQ(to_yaml(again), to_yaml(job));
  EXPECT_EQ(fingerprint(again), fingerprint(job));
}

struct FamilyMistake {
  const char* name;
  const char* text;
  const char* message;
};
class EachFamilyMistake : public testing::TestWithParam<FamilyMistake> {};
TEST_P(EachFamilyMistake, IsNamedWithItsPlace) {
  EXPECT_EQ(family_mistakes(std::string("output: out\n") + GetParam().text), GetParam().message);
}

#define TERCET_MODELS "models: [{name: a, path: m}]\n"
#define TERCET_TARGETS "targets: [{name: x}]\n"
const FamilyMistake kMistakes[] = {
    {"NoModels", TERCET_TARGETS, "job.yaml: models: must list at least one item"},
    {"NoTargets", TERCET_MODELS, "job.yaml: targets: must list at least one item"},
    {"Misspelt", TERCET_MODELS TERCET_TARGETS "packng: {ranks: 2}\n",
     "job.yaml:4:1: packng: unknown key; did you mean 'packing'?"},
    {"MisspeltInASection", TERCET_MODELS TERCET_TARGETS "limits: {atempts: 2}\n",
     "job.yaml:4:10: limits.atempts: unknown key; did you mean 'limits.attempts'?"},
    {"MisspeltInAnItem", "models: [{name: a, pth: m}]\n" TERCET_TARGETS,
     "job.yaml:2:20: models[0].pth: unknown key; did you mean 'path'?"},
    {"OutOfRange", TERCET_MODELS TERCET_TARGETS "keep: 0\n", "job.yaml:4:7: keep: must be 1 to 100000, not 0"},
    {"JobKeyOnceForAllElements", TERCET_MODELS "targets: [{name: x}, {name: y}]\ndefaults: {sed: 1}\n",
     "job.yaml:4:12: sed: unknown key; did you mean 'seed'?"},
    {"JobKeyOfATarget", TERCET_MODELS "targets: [{name: x, settings: {training: {tokns: 1}}}]\n",
     "job.yaml:3:43: training.tokns: unknown key; did you mean 'training.tokens'?"},
    {"NameOfAnElement", TERCET_MODELS TERCET_TARGETS "defaults: {output: here}\n",
     "job.yaml:4:12: output: is given to each element by the family"},
    {"PathInSettings", TERCET_MODELS TERCET_TARGETS "defaults: {model: {path: m}}\n",
     "job.yaml:4:20: model.path: is the `path` of an item of models"},
    {"NameTwice", "models: [{name: a, path: m}, {name: a, path: n}]\n" TERCET_TARGETS,
     "job.yaml:2:30: models[1].name: is given twice: 'a'"},
    {"NameOfAFolder", "models: [{name: ../a, path: m}]\n" TERCET_TARGETS,
     "job.yaml:2:10: models[0].name: must be letters, digits, '.', '_' and '-', as a folder is named so; not '../a'"},
    {"ElementTwice", "models: [{name: a, path: m}, {name: a-b, path: n}]\ntargets: [{name: b-c}, {name: c}]\n",
     "job.yaml:3:24: targets[1].name: makes a second element 'a-b-c'"},
    {"OutputInsideAModel", "models: [{name: a, path: .}]\n" TERCET_TARGETS,
     "job.yaml:1:1: output: must not be the folder of model 'a' or lie inside it: the original is never written to"},
};
INSTANTIATE_TEST_SUITE_P(Families, EachFamilyMistake, testing::ValuesIn(kMistakes),
                         [](const auto& mistake) { return std::string(mistake.param.name); });

TEST(FamilyMistakes, OfTheCombinationAreSaidOnceWithTheFirstElementThatHasThem) {
  EXPECT_EQ(
      family_mistakes("output: out\n" TERCET_MODELS
                      "targets: [{name: x}, {name: y, settings: {training: {tokens: 100}}}]\n"),
      "job.yaml:3:54: training.tokens: must hold at least one step of training.global_batch_tokens (4096), not 100 "
      "(in element a-y)");
}

TEST(FamilyMistakes, AreAllListedAtOnce) {
  const std::string message = family_mistakes("defaults: {sed: 1}\nmodels: [{name: a}]\ntargets: [{nam: x}]\n");
  EXPECT_TRUE(message.starts_with("the configuration has 4 mistakes:")) << message;
}

TEST(FamilySchema, EveryKeyIsExplainedAndLiesInADescribedSection) {
  for (const auto& row : config::family_rows()) {
    EXPECT_TRUE(row.sentence.ends_with('.')) << row.key;
    const std::size_t dot = row.key.rfind('.');
    if (dot == std::string_view::npos) continue;
    const auto& sections = config::family_sections();
    EXPECT_TRUE(std::any_of(sections.begin(), sections.end(), [&](const auto& section) {
      return section.key == row.key.substr(0, dot);
    })) << row.key;
  }
}

TEST(FamilyRecipe, Loads) {
  const FamilyConfig family = load_family_config(source_tree() / "configs/family.yaml");
  EXPECT_EQ(family.elements.size(), 4u);
}

}  // namespace
}  // namespace tercet
