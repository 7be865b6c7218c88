// The table is complete, the reference page is up to date, and the recipes load.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "config/config_file.hpp"
#include "config/print.hpp"
#include "config/schema.hpp"
#include "tercet/base/file.hpp"
#include "tercet/config/keys.hpp"

namespace tercet {
namespace {

using config::job_rows;

struct AnyValue {
  template <class T>
  operator T() const;
};

// Number of fields of a plain struct, by trying how many initializers it takes.
template <class T, class... Values>
constexpr std::size_t count_fields() {
  if constexpr (requires { T{Values{}..., AnyValue{}}; }) {
    return count_fields<T, Values..., AnyValue>();
  } else {
    return sizeof...(Values);
  }
}

std::size_t rows_in(const std::string& section) {
  std::size_t count = 0;
  for (const auto& row : job_rows()) count += row.key.starts_with(section + ".") ? 1 : 0;
  return count;
}

TEST(Schema, EveryFieldOfASectionHasARow) {
  EXPECT_EQ(rows_in("model"), count_fields<ModelSection>());
  EXPECT_EQ(rows_in("data"), count_fields<DataSection>());
  EXPECT_EQ(rows_in("quantization"), count_fields<QuantizationSection>());
  EXPECT_EQ(rows_in("target"), count_fields<TargetSection>());
  EXPECT_EQ(rows_in("allocation"), count_fields<AllocationSection>());
  EXPECT_EQ(rows_in("progressive"), count_fields<ProgressiveSection>());
  EXPECT_EQ(rows_in("remedies"), count_fields<RemediesSection>());
  EXPECT_EQ(rows_in("training"), count_fields<TrainingSection>());
  EXPECT_EQ(rows_in("evaluation"), count_fields<EvaluationSection>());
  EXPECT_EQ(rows_in("export"), count_fields<ExportSection>());
  EXPECT_EQ(rows_in("distributed"), count_fields<DistributedSection>());
  EXPECT_EQ(rows_in("watchdog"), count_fields<WatchdogSection>());
  EXPECT_EQ(rows_in("checkpoint"), count_fields<CheckpointSection>());
  EXPECT_EQ(rows_in("log"), count_fields<LogSection>());
  EXPECT_EQ(rows_in("pretrain"), count_fields<PretrainSection>());
  EXPECT_EQ(config::source_rows().size(), count_fields<SourceConfig>());
  EXPECT_EQ(config::task_rows().size(), count_fields<TaskConfig>());
  EXPECT_EQ(config::layer_rows().size(), count_fields<LayerFormat>());
}

TEST(Schema, EveryKeyIsUniqueLiesInADescribedSectionAndIsExplained) {
  std::set<std::string_view> sections, keys;
  for (const auto& section : config::sections()) sections.insert(section.key);
  for (const auto& row : job_rows()) {
    EXPECT_TRUE(keys.insert(row.key).second) << row.key;
    const std::size_t dot = std::min(row.key.rfind('.'), row.key.size());
    EXPECT_TRUE(dot == row.key.size() || sections.contains(row.key.substr(0, dot))) << row.key;
    EXPECT_TRUE(row.sentence.ends_with('.')) << row.key;
  }
}

TEST(Schema, EveryDefaultIsAllowed) {
  EXPECT_EQ(mistakes(to_yaml(JobConfig{})), "");
}

TEST(Keys, NameEveryKeyWithItsChoices) {
  const std::vector<ConfigKey> keys = config_keys();
  EXPECT_EQ(keys.size(), job_rows().size());
  std::map<std::string, ConfigKey> by_name;
  for (const ConfigKey& key : keys) by_name[key.key] = key;
  EXPECT_EQ(by_name.at("training.enabled").choices, (std::vector<std::string>{"true", "false"}));
  EXPECT_EQ(by_name.at("gates.compression.baseline").choices, (std::vector<std::string>{"fp32", "fp16", "file"}));
  EXPECT_TRUE(by_name.at("export.formats").choices.empty());  // a list: one of them is no value
  EXPECT_TRUE(by_name.at("model.path").path);
  EXPECT_FALSE(by_name.at("name").path);
}

TEST(Reference, PageInTheDocsIsUpToDate) {
  const std::filesystem::path page = source_tree() / "docs/config.md";
  if (std::getenv("TERCET_UPDATE_DOCS") != nullptr) write_file_atomically(page, config_reference());
  EXPECT_EQ(read_file(page), config_reference()) << "run this test with TERCET_UPDATE_DOCS=1 to write the page again";
}

TEST(Reference, NamesEveryKey) {
  const std::string page = config_reference();
  for (const auto& row : job_rows()) {
    EXPECT_NE(page.find("| `" + std::string(row.key) + "`"), std::string::npos) << row.key;
  }
}

TEST(Recipes, AllLoad) {
  int recipes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_tree() / "configs")) {
    if (entry.path().extension() != ".yaml" || entry.path().filename() == "family.yaml") continue;
    ++recipes;
    EXPECT_NO_THROW(load_job_config(entry.path(), {})) << entry.path();
  }
  EXPECT_GE(recipes, 4);
}

// The recipe says that its values are the defaults: a default changed in one place only would make that untrue.
TEST(Recipes, TernaryShowsTheDefaults) {
  const JobConfig recipe = load_job_config(source_tree() / "configs/ternary.yaml", {});
  const JobConfig defaults;
  const std::set<std::string_view> own = {"name", "output", "model.path", "data.sources"};
  for (const auto& row : job_rows()) {
    if (own.contains(row.key)) continue;
    const auto print = [](const auto& value) { return config::print_value(value); };
    EXPECT_EQ(config::with_field(row, recipe, print), config::with_field(row, defaults, print)) << row.key;
  }
}

TEST(Recipes, TheDemoLoosensNoGate) {
  const JobConfig demo = load_job_config(source_tree() / "configs/demo-compress.yaml", {});
  for (const std::string& key : demo.written) EXPECT_FALSE(key.starts_with("gates.")) << key;
}

TEST(Recipes, TheDemoCompressesTheModelThatItMade) {
  const JobConfig first = load_job_config(source_tree() / "configs/demo-pretrain.yaml", {});
  const JobConfig second = load_job_config(source_tree() / "configs/demo-compress.yaml", {});
  EXPECT_EQ(first.output, second.model.path);
  EXPECT_EQ(first.output, (source_tree() / "runs/demo/model").string());
  EXPECT_EQ(first.data.cache, second.data.cache);
}

}  // namespace
}  // namespace tercet
