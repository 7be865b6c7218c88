#include "job/task_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

TEST(TaskNames, OfTheConfigurationAreThoseThatCanBeMeasured) {
  const test::ScratchFolder folder;
  std::string list;
  for (const std::string& name : task_names()) list += (list.empty() ? "" : ", ") + ("{name: " + name + ", path: a}");
  const JobConfig config = load_job_config(folder.write("job.yaml", "evaluation: {tasks: [" + list + "]}\n"), {});
  EXPECT_EQ(config.evaluation.tasks.size(), task_names().size());
  const std::string said = test::message_of<ConfigError>(
      [&] { load_job_config(folder.write("job.yaml", "evaluation: {tasks: [{name: none, path: a}]}\n"), {}); });
  for (const std::string& name : task_names()) EXPECT_MENTIONS(said, name);
  EXPECT_EQ(std::count(said.begin(), said.end(), '|') + 1, static_cast<std::ptrdiff_t>(task_names().size())) << said;
}

TEST(JudgedMetric, MustBeOneOfItsTask) {
  JobConfig config;
  config.gates.accuracy_task = "blimp";
  config.gates.accuracy_metric = "acc_norm";
  const auto comm = make_self_communicator();
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::read_tasks(*comm, config); }), "blimp has only acc");
}

TEST(Samples, HaveALineForEachDocument) {
  const test::ScratchFolder folder;
  const Task task{"piqa", "", "", {{{{"a", " b", 1}, {"a", " cd", 2}}, 1}, {{{"e", " f", 1}, {"e", " g", 1}}, 0}}};
  const TaskScore score = score_task(task, {{-1, true}, {-2.5, false}, {-3, false}, {-4, false}});
  job::write_samples(folder / "samples.jsonl", {{task, score}});
  const std::string text = read_file(folder / "samples.jsonl");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  const auto first = nlohmann::json::parse(text.substr(0, text.find('\n')));
  EXPECT_EQ(first.at("gold"), 1);
  EXPECT_EQ(first.at("choices").at(1).at("log_likelihood"), -2.5);
  EXPECT_EQ(first.at("choices").at(0).at("greedy"), true);
}

}  // namespace
}  // namespace tercet
