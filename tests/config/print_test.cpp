#include <gtest/gtest.h>

#include <set>

#include "config/config_file.hpp"
#include "config/print.hpp"
#include "config/reader.hpp"
#include "config/schema.hpp"

namespace tercet {
namespace {

using config::job_rows;
using config::Row;

// A value that is allowed and is not the default.
void change(const Row<JobConfig>&, bool& value) {
  value = !value;
}
void change(const Row<JobConfig>& row, std::int64_t& value) {
  const std::vector<std::string> choices = config::split_choices(row.limits.choices);
  value = choices.empty() ? value * 2 + 2 * row.limits.multiple_of : value == 8 ? 16 : 8;
}
void change(const Row<JobConfig>& row, double& value) {
  value = row.limits.high <= 1 ? (value + 0.8) / 2 : value + 0.1;
}
void change(const Row<JobConfig>& row, std::string& value) {
  const std::vector<std::string> choices = config::split_choices(row.limits.choices);
  value = choices.empty() ? "/x: #[odd] \"text\"\t\\é" : choices.front() == value ? choices.back() : choices.front();
}
void change(const Row<JobConfig>& row, std::vector<std::string>& value) {
  const std::vector<std::string> choices = config::split_choices(row.limits.choices);
  const bool all_of_them = value == choices;
  value = {"/plain", "/with, comma", "/no"};
  if (!choices.empty()) value = all_of_them ? std::vector<std::string>{choices.back()} : choices;
}
void change(const Row<JobConfig>&, std::vector<SourceConfig>& value) {
  value = {{"/a b", 0.1, "text"}, {"/c*", 1e-7, "body: x"}};
}
void change(const Row<JobConfig>&, std::vector<TaskConfig>& value) {
  value = {{"hellaswag", "/a b", 3}, {"piqa", "/c*", 0}};
}
void change(const Row<JobConfig>&, std::vector<LayerFormat>& value) {
  value = {{.match = "*.3.*", .format = "int4", .symmetric = "false"},
           {.role = "down", .granularity = "group", .group_size = 32, .rule = "calibrated"},
           {.role = "up", .format = "int6"}};
}
void change(const Row<JobConfig>&, std::optional<std::int64_t>& value) {
  value = 123;
}

void change_field(const Row<JobConfig>& row, JobConfig& config) {
  config::with_field(row, config, [&row](auto& value) { change(row, value); });
}

std::string print(const Row<JobConfig>& row, const JobConfig& config) {
  return config::with_field(row, config, [](const auto& value) { return config::print_value(value); });
}

// One changed value may break a rule between keys, which is not the matter here.
JobConfig read_without_relations(const std::string& text) {
  JobConfig config;
  config::Problems problems;
  config::Reader reader(config, problems);
  reader.read_text("text", "/", text);
  problems.throw_if_any();
  return config;
}

TEST(ToYaml, LoadingWhatWasPrintedGivesTheSameConfig) {
  const JobConfig loaded = load(to_yaml(JobConfig{}));
  for (const auto& row : job_rows()) EXPECT_EQ(print(row, loaded), print(row, JobConfig{})) << row.key;
}

// One key at a time: every row must be printed, read, and reach a field of its own.
TEST(ToYaml, EveryKeyRoundTripsAndMovesOnlyItself) {
  for (const auto& row : job_rows()) {
    JobConfig changed;
    change_field(row, changed);
    ASSERT_NE(print(row, changed), print(row, JobConfig{})) << row.key;
    for (const auto& other : job_rows()) {
      if (other.key == row.key) continue;
      EXPECT_EQ(print(other, changed), print(other, JobConfig{})) << other.key;
    }
    EXPECT_EQ(print(row, read_without_relations(to_yaml(changed))), print(row, changed)) << row.key;
  }
}

TEST(ToYaml, ADifferentConfigSurvivesAsAWhole) {
  JobConfig changed;
  for (const auto& row : job_rows()) {
    if (!row.key.starts_with("pretrain.") || row.key == "pretrain.max_positions") change_field(row, changed);
  }
  changed.training.global_batch_tokens = 514 * 8;
  changed.data.sequence_length = 514;
  changed.output = "/elsewhere";
  changed.model.weights = "resident";        // with the target below
  changed.quantization.rule = "calibrated";  // which a solved start needs
  changed.calibration.samples = 2 * changed.calibration.shards;
  changed.gates.sparsity_max = 0.9;
  changed.gates.accuracy_task = "piqa";
  changed.target = {.ratio = 7.5};  // one target at most, and then no stages
  changed.progressive.formats = {};
  changed.remedies.rounds = 0;
  changed.allocation.tables = {"8", "4"};
  const JobConfig loaded = load(to_yaml(changed));
  EXPECT_EQ(to_yaml(loaded), to_yaml(changed));
  EXPECT_EQ(fingerprint(loaded), fingerprint(changed));
  EXPECT_EQ(loaded.data.sources[1].field, "body: x");
  EXPECT_EQ(loaded.evaluation.tasks[0].limit, 3);
  EXPECT_EQ(loaded.quantization.layers[0].symmetric, "false");
  EXPECT_EQ(loaded.quantization.layers[1].group_size, 32);
  EXPECT_FALSE(loaded.quantization.layers[2].group_size.has_value());
}

TEST(ToYaml, AnUnsetValueStaysOpenForTheSizeOfTheModel) {
  JobConfig loaded = load(to_yaml(JobConfig{}));
  EXPECT_FALSE(loaded.calibration.samples.has_value());
  adapt_to_size(loaded, 100'000'000);
  EXPECT_EQ(loaded.calibration.samples, 1000);
  EXPECT_DOUBLE_EQ(loaded.gates.compression.threshold, 8);
}

TEST(PrintNumber, IsShortAndExact) {
  EXPECT_EQ(config::print_number(0.1), "0.1");
  EXPECT_EQ(config::print_number(1e-8), "1e-08");
  EXPECT_EQ(config::print_number(2e6), "2000000");
  EXPECT_EQ(config::print_number(1.0 / 3), "0.3333333333333333");
}

TEST(PrintText, IsQuotedWhereYamlWouldTakeItForSomethingElse) {
  for (const char* text : {"", "yes", "Null", "~", "1", "-a", "a: b", "a #b", "*x", "{a}", " a", "a ", "a\nb"}) {
    EXPECT_EQ(config::print_value(std::string(text)).front(), '"') << text;
  }
  EXPECT_EQ(config::print_value(std::string("/usr/lib/python3.11")), "/usr/lib/python3.11");
}

TEST(Fingerprint, ChangesWithEveryKeyThatChangesResultsAndWithNoOther) {
  const std::set<std::string_view> without_effect_sections = {"log",      "distributed", "checkpoint", "watchdog",
                                                              "trackers", "report",      "kernels"};
  const std::set<std::string_view> without_effect = {"name", "output", "data.cache", "model.weights"};
  const std::string before = fingerprint(JobConfig{});
  EXPECT_EQ(before.size(), 64u);
  for (const auto& row : job_rows()) {
    JobConfig changed;
    change_field(row, changed);
    const std::string_view section = row.key.substr(0, row.key.find('.'));
    const bool ignored = without_effect.contains(row.key) || without_effect_sections.contains(section);
    EXPECT_EQ(fingerprint(changed) == before, ignored) << row.key;
  }
}

}  // namespace
}  // namespace tercet
