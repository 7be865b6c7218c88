#include "tercet/report/report.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "sample_run.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/report/status.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using test::sample_results;
using test::sample_verdict;

class ReportOfARun : public testing::Test {
 protected:
  void record(bool finished) {
    RunFile run(folder(), true);
    run.metric({"training/loss", 10, 2.5, "nats"});
    run.metric({"training/loss", 20, 2.25, "nats"});
    run.stage({"training", 0, 125});
    run.ranks({{0, "node7", "cpu", 1.5e9, 4321}});
    if (!finished) return;
    run.layers(
        {{"model.layers.3.mlp.up_proj.weight", "mlp.up", "ternary", 512, 192, 128, 2.125, 0, 0, 0, 0.31, 0.44, 0.41}});
    run.gates(gate_records(sample_verdict()));
    run.provenance(kResultsKey, to_json(sample_results()));
    RunStatus status;
    status.state = "passed";
    status.exit_code = 0;
    status.sentence = "all gates passed";
    status.started = status.updated = unix_time();
    write_status(folder(), status);
  }
  const fs::path& folder() const { return scratch_.path(); }

 private:
  test::ScratchFolder scratch_;
};

void expect_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " in:\n" << text;
}

TEST(ResultsTable, ShowsBeforeQuantizedPackedAndGate) {
  const std::string table = results_table(sample_results(), gate_records(sample_verdict()));
  const auto line_with = [&](const std::string& word) {
    const std::size_t begin = table.rfind('\n', table.find("\n" + word)) + 1;
    return table.substr(begin, table.find('\n', begin) - begin);
  };
  expect_contains(table, {"before", "quantized", "fine-tuned, packed", "gate"});
  expect_contains(line_with("perplexity"), {"20.000", "50.000", "21.000", "pass (<= 0.1)"});
  expect_contains(line_with("next-token accuracy"), {"40.00 %", "20.00 %", "39.00 %", "pass (>= 0.95)"});
  expect_contains(line_with("ratio to fp32"), {"4.00 MB", "7.63x", "pass (>= 6)"});
  expect_contains(line_with("ratio to fp16"), {"2.00 MB", "3.81x"});
  expect_contains(line_with("ratio to file"), {"4.00x"});
  expect_contains(line_with("sparsity"), {"30.0 %", "pass (0.25 to 0.45)"});
  expect_contains(line_with("dequantized = packed"), {"99.950 %"});
  expect_contains(line_with("handoff complete"), {"off"});
  expect_contains(line_with("decoding"), {"1200.0 tokens/s"});
  expect_contains(line_with("speed-up to fp32"), {"400.0 tokens/s", "3.00x", "pass (>= 2)"});
  expect_contains(line_with("speed-up to bf16"), {"300.0 tokens/s", "4.00x"});
  EXPECT_EQ(line_with("speed-up to bf16").find("pass"), std::string::npos);
}

TEST(ResultsTable, ShowsTasksAndTheGateBesideTheJudgedOne) {
  RunResults results = sample_results();
  results.accuracy_task = "hellaswag";
  results.accuracy_metric = "acc_norm";
  const std::string table = results_table(results, gate_records(sample_verdict()));
  const auto line_with = [&](const std::string& word) {
    const std::size_t begin = table.find("\n" + word) + 1;
    return table.substr(begin, table.find('\n', begin) - begin);
  };
  expect_contains(line_with("hellaswag acc "), {"40.00 %", "39.00 %"});
  expect_contains(line_with("hellaswag acc_norm"), {"50.00 %", "48.00 %", "pass (>= 0.95)"});
  expect_contains(line_with("lambada acc"), {"30.00 %", "25.00 %"});
  expect_contains(line_with("lambada perplexity"), {"12.500", "14.000"});
  for (const char* other : {"hellaswag acc ", "lambada acc", "next-token accuracy"}) {
    EXPECT_EQ(line_with(other).find("pass"), std::string::npos) << line_with(other);
  }
}

TEST(ResultsTable, ShowsAFailedGateLoudlyAndAWarningAsSuch) {
  std::vector<GateRecord> gates = gate_records(sample_verdict());
  for (GateRecord& gate : gates) {
    if (gate.name == "perplexity") gate.verdict = "fail";
    if (gate.name == "accuracy") gate.verdict = "fail", gate.severity = "warn";
  }
  expect_contains(results_table(sample_results(), gates), {"FAIL (<= 0.1)", "warning (>= 0.95)"});
  expect_contains(gates_text(gates), {"FAIL     perplexity: ", "warning  accuracy: ", "off      handoff: "});
}

TEST(ResultsTable, ShowsADashForASpeedThatCouldNotBeMeasured) {
  RunResults results = sample_results();
  results.speed = DecodeSpeed{.refusal = "no kernels"};
  const std::string table = results_table(results, {{"speedup", "fail", "warn", 0, 2, ">= 2", ""}});
  const std::size_t begin = table.find("\nspeed-up") + 1;
  expect_contains(table.substr(begin, table.find('\n', begin) - begin), {"-", "warning (>= 2)"});
  EXPECT_EQ(table.find("tokens/s"), std::string::npos) << table;
}

TEST(ResultsTable, ShowsADashForWhatWasNotMeasured) {
  const std::string table = results_table({}, {});
  EXPECT_EQ(table.find("nan"), std::string::npos) << table;
  EXPECT_EQ(table.find("0.000"), std::string::npos) << table;
}

TEST(RunResults, SurviveTheRunFileAlsoWithInfinity) {
  RunResults results = sample_results();
  results.quantized.perplexity = std::numeric_limits<double>::infinity();
  results.handoff = std::nullopt;
  const RunResults read = results_from_json(nlohmann::json::parse(to_json(results).dump()));
  EXPECT_EQ(to_json(read), to_json(results));
  EXPECT_EQ(*read.quantized.perplexity, std::numeric_limits<double>::infinity());
  EXPECT_FALSE(read.handoff.has_value());
  EXPECT_EQ(read.fine_tuning->steps, 500);
}

TEST(RunResults, OfARunFromBeforeThereWereTasksAreRead) {
  auto object = to_json(sample_results());
  for (const char* key : {"tasks", "accuracy_task", "accuracy_metric"}) object.erase(key);
  const RunResults read = results_from_json(object);
  EXPECT_TRUE(read.tasks.empty());
  EXPECT_EQ(read.accuracy_metric, "acc");
}

TEST(RunResults, HoldTheSpeedOrWhyThereIsNone) {
  RunResults results = sample_results();
  auto object = to_json(results);
  EXPECT_EQ(object.at("speed").at("speedup").at("bf16"), 4.0);
  results.speed = DecodeSpeed{.refusal = "no kernels"};
  EXPECT_EQ(results_from_json(to_json(results)).speed->refusal, "no kernels");
  for (const char* key : {"speed", "speed_baseline"}) object.erase(key);  // of a run before it was measured
  EXPECT_FALSE(results_from_json(object).speed.has_value());
  object["speed"] = {{"packed", 7}};
  EXPECT_THROW(results_from_json(object), StoreError);
}

TEST(RunResults, ThatLackAFieldAreRefused) {
  auto object = to_json(sample_results());
  object.erase("packed");
  EXPECT_THROW(results_from_json(object), StoreError);
}

TEST(GateTwins, ConvertThereAndBack) {
  const Verdict verdict = sample_verdict();
  const std::vector<GateRecord> records = gate_records(verdict);
  const Verdict back = verdict_of(records);
  EXPECT_EQ(back.passed, verdict.passed);
  ASSERT_EQ(back.gates.size(), verdict.gates.size());
  for (std::size_t i = 0; i < verdict.gates.size(); ++i) {
    EXPECT_EQ(back.gates[i].name, verdict.gates[i].name);
    EXPECT_EQ(back.gates[i].verdict, verdict.gates[i].verdict);
    EXPECT_EQ(back.gates[i].severity, verdict.gates[i].severity);
    EXPECT_EQ(back.gates[i].comparison, verdict.gates[i].comparison);
    EXPECT_EQ(back.gates[i].threshold, verdict.gates[i].threshold);
    EXPECT_EQ(back.gates[i].value, verdict.gates[i].value);
    EXPECT_EQ(back.gates[i].evidence, verdict.gates[i].evidence);
  }
  EXPECT_EQ(records.back().verdict, "skipped");
}

TEST_F(ReportOfARun, TellsStateTableEvidenceTimesLayersAndFiles) {
  record(true);
  expect_contains(
      report_text(view_run(folder())),
      {folder().string(), "passed (exit code 0)", "all gates passed", "21.000", "57 of 57 tensors", "2 min 05 s",
       "node7", "1.50 GB", "4321", "model.layers.3.mlp.up_proj.weight", "training/loss", "2.25000", "run.h5"});
}

TEST_F(ReportOfARun, SaysWhenThereAreNoResultsYet) {
  record(false);
  expect_contains(report_text(view_run(folder())), {"no final results yet", "training/loss"});
  EXPECT_TRUE(report_json(view_run(folder())).at("results").is_null());
}

TEST_F(ReportOfARun, IsOneJsonObjectWithAllMetrics) {
  record(true);
  const auto report = nlohmann::json::parse(report_json(view_run(folder())).dump());
  EXPECT_EQ(report.at("metrics").size(), 19u);
  EXPECT_EQ(report.at("metrics").at("compression/post_finetune_perplexity"), 21.0);
  EXPECT_EQ(report.at("status").at("state"), "passed");
  EXPECT_EQ(report.at("gates").size(), 8u);
  EXPECT_EQ(report.at("series").at("training/loss").at("last_value"), 2.25);
  EXPECT_EQ(report.at("layers").at(0).at("rows"), 512);
  EXPECT_EQ(report.at("timing").at("stages").at(0).at("end_s"), 125.0);
}

TEST_F(ReportOfARun, TakesTheJournalWhenTheRunFileIsDamaged) {
  record(true);
  const std::string sound = report_text(view_run(folder()));
  fs::resize_file(folder() / "run.h5", 50);
  EXPECT_EQ(report_text(view_run(folder())), sound);
  fs::remove(folder() / "run.h5");
  expect_contains(report_text(view_run(folder())), {"21.000"});
  rebuild_run_file(folder());
  EXPECT_EQ(report_text(view_run(folder())), sound);
}

TEST_F(ReportOfARun, OfAFolderThatHoldsNoneSaysWhatToGive) {
  expect_contains(test::message_of<StoreError>([&] { report_text(view_run(folder())); }),
                  {folder().string(), "holds no run", "output folder"});
}

TEST(Status, SaysInWordsAndCodesWhatBecameOfTheRun) {
  const test::ScratchFolder scratch;
  EXPECT_FALSE(read_status(scratch.path()).has_value());
  RunStatus status;
  status.started = 1764000000.0;
  status.updated = 1764000060.5;
  status.stage = "training";
  write_status(scratch.path(), status);
  auto read = *read_status(scratch.path());
  EXPECT_EQ(read.at("state"), "running");
  EXPECT_TRUE(read.at("exit_code").is_null());
  EXPECT_EQ(read.at("started"), "2025-11-24T16:00:00Z");
  EXPECT_EQ(read.at("seconds"), 60.5);

  status.state = state_of(ExitCode::kGateFailed);
  status.exit_code = 3;
  status.verdict = sample_verdict();
  write_status(scratch.path(), status);
  read = *read_status(scratch.path());
  EXPECT_EQ(read.at("state"), "gate_failed");
  EXPECT_EQ(read.at("exit_code"), 3);
  EXPECT_EQ(read.at("verdict").at("gates").at("perplexity").at("verdict"), "pass");
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), fs::directory_iterator()), 1);  // no temporary file
}

TEST(Status, KnowsWhetherThisAttemptHasEnded) {
  const test::ScratchFolder scratch;
  EXPECT_FALSE(has_ended(scratch.path(), 2));
  RunStatus status;
  status.attempt = 2;
  write_status(scratch.path(), status);
  EXPECT_FALSE(has_ended(scratch.path(), 2));
  status.exit_code = 70;
  write_status(scratch.path(), status);
  EXPECT_TRUE(has_ended(scratch.path(), 2));
  EXPECT_FALSE(has_ended(scratch.path(), 3));
}

TEST(Status, OfEveryExitCodeHasOneOfTheFourWords) {
  EXPECT_EQ(state_of(ExitCode::kPassed), "passed");
  EXPECT_EQ(state_of(ExitCode::kGateFailed), "gate_failed");
  EXPECT_EQ(state_of(ExitCode::kStopped), "stopped");
  for (const ExitCode code : {ExitCode::kUsage, ExitCode::kBadInput, ExitCode::kInternal, ExitCode::kIo}) {
    EXPECT_EQ(state_of(code), "failed");
  }
}

}  // namespace
}  // namespace tercet
