#include "tercet/store/run_file.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <latch>
#include <limits>
#include <thread>

#include "store/hdf5.hpp"
#include "store/records.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using store::to_json;
using test::message_of;
using test::ScratchFolder;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

LayerRecord layer(const std::string& name, double error) {
  return {name, "attention.query", "ternary", 192, 512, 128, 2.125, 0.01, 0.02, 0.03, 0.31, error, error / 2};
}

void record_everything(RunFile& run) {
  run.provenance("config", {{"seed", 42}, {"rate", 0.1}, {"name", "Käse/%"}});
  run.provenance("data/sources", nlohmann::json::array({"a.txt"}));
  for (int step = 0; step < 3; ++step) run.metric({"training/loss", step, 3.0 / (step + 1), "nats"});
  run.metric({"training/loss", 3, kNaN, "nats"});
  run.metric({"training/gradient_norm", 3, kInfinity, "1"});
  run.metric({"evaluation/perplexity", 3, 24.71844, "1"});
  run.stage({"calibration", 0.5, 12.25});
  run.stage({"training", 12.25, 100.125});
  run.layers({layer("model.layers.0.self_attn.q_proj.weight", 0.4), layer("b", kNaN)});
  run.gates({{"compression", "pass", "fail", 9.25, 6, ">= 6", "1 B of 9 B"},
             {"accuracy", "fail", "warn", kNaN, 0.95, ">= 0.95", "not measured"}});
  run.ranks({{0, "node1", "cpu", 1e9, 1234.5}, {1, "node2", "cuda:0", 2e9, 2345.5}});
}

void record_sample(const fs::path& folder) {
  RunFile run(folder, true);
  record_everything(run);
}

TEST(RunFile, TellsOfEachRecordOnceTheJournalHasIt) {
  const ScratchFolder folder;
  std::vector<std::string> told;
  RunFile run(folder.path(), true);
  run.metric({"training/loss", 1, 2, "nats"});  // before anybody listens
  run.tell([&](const RunRecord& news) {
    const RunRecord journal = read_journal(folder.path() / "journal.jsonl");
    if (!news.metrics.empty()) {
      told.push_back(news.metrics.front().name + " " + std::to_string(news.metrics.front().step));
      EXPECT_EQ(news.wall_times.size(), 1u);
      EXPECT_EQ(journal.metrics.back().step, news.metrics.front().step);
    }
    for (const StageRecord& stage : news.stages) told.push_back(stage.name + " " + std::to_string(stage.attempt));
    EXPECT_EQ(journal.stages.size(), news.stages.size());
  });
  run.metric({"training/loss", 2, 2, "nats"});
  run.stage({"training", 0, 1});
  EXPECT_EQ(told, (std::vector<std::string>{"training/loss 2", "training 1"}));
}

TEST(RunFile, GivesBackWhatWasRecorded) {
  const ScratchFolder folder;
  record_sample(folder.path());
  const RunRecord read = read_run_file(folder.path() / "run.h5");

  ASSERT_EQ(read.metrics.size(), 6u);
  EXPECT_EQ(read.metrics[0].name, "evaluation/perplexity");
  EXPECT_EQ(read.metrics[0].value, 24.71844);
  EXPECT_TRUE(std::isinf(read.metrics[1].value));
  EXPECT_EQ(read.metrics[2].step, 0);
  EXPECT_EQ(read.metrics[4].value, 1.0);
  EXPECT_EQ(read.metrics[4].unit, "nats");
  EXPECT_EQ(read.metrics[4].attempt, 1);
  EXPECT_TRUE(std::isnan(read.metrics[5].value));
  ASSERT_EQ(read.wall_times.size(), 6u);
  EXPECT_GT(read.wall_times[0], 1.7e9);
  ASSERT_EQ(read.layers.size(), 2u);
  EXPECT_EQ(to_json(read.layers[0]), to_json(layer("model.layers.0.self_attn.q_proj.weight", 0.4)));
  ASSERT_EQ(read.stages.size(), 2u);
  EXPECT_EQ(read.stages[1].end_s, 100.125);
  ASSERT_EQ(read.gates.size(), 2u);
  EXPECT_EQ(read.gates[1].evidence, "not measured");
  EXPECT_TRUE(std::isnan(read.gates[1].value));
  ASSERT_EQ(read.ranks.size(), 2u);
  EXPECT_EQ(read.ranks[1].device, "cuda:0");
  EXPECT_EQ(read.provenance.at("config").at("name"), "Käse/%");
  EXPECT_EQ(read.provenance.at("data/sources").at(0), "a.txt");
}

TEST(RunFile, HoldsTheSameAsItsJournal) {
  const ScratchFolder folder;
  record_sample(folder.path());
  EXPECT_EQ(to_json(read_run_file(folder.path() / "run.h5")), to_json(read_journal(folder.path() / "journal.jsonl")));
}

TEST(RunFile, CanBeMadeAgainFromItsJournal) {
  const ScratchFolder folder;
  record_sample(folder.path());
  const auto before = to_json(read_run_file(folder.path() / "run.h5"));
  fs::remove(folder.path() / "run.h5");
  rebuild_run_file(folder.path());
  EXPECT_EQ(to_json(read_run_file(folder.path() / "run.h5")), before);
}

TEST(RunFile, WritesNothingOnOtherRanks) {
  const ScratchFolder folder;
  RunFile run(folder.path(), false);
  record_everything(run);
  EXPECT_EQ(run.attempt(), 0);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(RunFile, AppendsFurtherAttemptsAndNumbersThem) {
  const ScratchFolder folder;
  record_sample(folder.path());
  {
    RunFile run(folder.path(), true);
    EXPECT_EQ(run.attempt(), 2);
    run.metric({"training/loss", 2, 0.5, "nats"});
    run.stage({"training", 0, 1});
  }
  const RunRecord read = read_run_file(folder.path() / "run.h5");
  ASSERT_EQ(read.metrics.size(), 7u);
  EXPECT_EQ(read.metrics.back().attempt, 2);
  EXPECT_EQ(read.metrics.back().value, 0.5);
  ASSERT_EQ(read.stages.size(), 3u);
  EXPECT_EQ(read.stages.back().attempt, 2);
  ASSERT_EQ(read.attempts.size(), 2u);
  EXPECT_EQ(to_json(read), to_json(read_journal(folder.path() / "journal.jsonl")));
}

TEST(RunFile, ReplacesTablesAndTheRowOfARank) {
  const ScratchFolder folder;
  RunFile run(folder.path(), true);
  record_everything(run);
  run.layers({layer("only", 0.1)});
  run.gates({});
  run.ranks({{1, "node3", "cpu", 3e9, 1.0}});
  run.provenance("config", 7);
  const RunRecord read = read_run_file(folder.path() / "run.h5");
  ASSERT_EQ(read.layers.size(), 1u);
  EXPECT_EQ(read.layers[0].name, "only");
  EXPECT_TRUE(read.gates.empty());
  ASSERT_EQ(read.ranks.size(), 2u);
  EXPECT_EQ(read.ranks[1].host, "node3");
  EXPECT_EQ(read.provenance.at("config"), 7);
}

TEST(RunFile, CanBeReadWhileTheRunIsUnderWay) {
  const ScratchFolder folder;
  RunFile run(folder.path(), true);
  run.metric({"loss", 1, 2.5, "nats"});
  EXPECT_EQ(read_run_file(folder.path() / "run.h5").metrics.at(0).value, 2.5);
  run.metric({"loss", 2, 2.25, "nats"});
  EXPECT_EQ(read_run_file(folder.path() / "run.h5").metrics.size(), 2u);
}

TEST(RunFile, RefusesASecondWriterOfTheSameRun) {
  const ScratchFolder folder;
  const RunFile run(folder.path(), true);
  EXPECT_NE(message_of<StoreError>([&] { RunFile(folder.path(), true); }).find("another process"), std::string::npos);
}

TEST(RunFile, IsNotMadeAgainBelowARunningJob) {
  const ScratchFolder folder;
  const RunFile run(folder.path(), true);
  EXPECT_THROW(rebuild_run_file(folder.path()), StoreError);
}

TEST(RunFile, RefusesMetricNamesThatWouldHideAColumn) {
  const ScratchFolder folder;
  RunFile run(folder.path(), true);
  for (const char* name : {"", "/loss", "loss/", "a//b", "loss/value", "step", "./loss"}) {
    EXPECT_THROW(run.metric({name, 0, 1.0, "1"}), StoreError) << "'" << name << "'";
  }
  EXPECT_TRUE(read_journal(folder.path() / "journal.jsonl").metrics.empty());
}

TEST(RunFile, RefusesAMetricThatChangesItsUnitAlsoAfterARestart) {
  const ScratchFolder folder;
  {
    RunFile run(folder.path(), true);
    run.metric({"loss", 0, 1.0, "nats"});
    EXPECT_THROW(run.metric({"loss", 1, 1.0, "bits"}), StoreError);
  }
  RunFile run(folder.path(), true);
  EXPECT_THROW(run.metric({"loss", 1, 1.0, "bits"}), StoreError);
}

TEST(RunFile, KeepsSeriesApartThatShareTheirBeginning) {
  const ScratchFolder folder;
  RunFile run(folder.path(), true);
  run.metric({"loss/student", 0, 1.0, "nats"});
  run.metric({"loss", 0, 2.0, "nats"});
  run.metric({"loss-x", 0, 3.0, "nats"});
  EXPECT_EQ(to_json(read_run_file(folder.path() / "run.h5")), to_json(read_journal(folder.path() / "journal.jsonl")));
}

TEST(RunFile, SaysWhereItCannotBeWritten) {
  const ScratchFolder folder;
  test::write_text_file(folder.path() / "file", "x");
  const std::string text = message_of<StoreError>([&] { RunFile(folder.path() / "file" / "run", true); });
  EXPECT_NE(text.find((folder.path() / "file" / "run").string()), std::string::npos) << text;
}

TEST(RunFile, NamesTheFileAndTheCauseWhenItIsNoHdf5) {
  const ScratchFolder folder;
  test::write_text_file(folder.path() / "run.h5", "this is not HDF5");
  const std::string text = message_of<StoreError>([&] { read_run_file(folder.path() / "run.h5"); });
  EXPECT_NE(text.find("run.h5"), std::string::npos) << text;
  EXPECT_NE(text.find("HDF5: "), std::string::npos) << text;
}

// Holds HDF5 in another thread, as the making of a checkpoint does.
class BusyLibrary {
 public:
  BusyLibrary() : thread_([this] { hold(); }) { holding_.wait(); }
  ~BusyLibrary() {
    let_go_.count_down();
    thread_.join();
  }
  BusyLibrary(const BusyLibrary&) = delete;
  BusyLibrary& operator=(const BusyLibrary&) = delete;

 private:
  void hold() {
    const store::Hdf5Session library;
    holding_.count_down();
    let_go_.wait();
  }
  std::latch holding_{1}, let_go_{1};
  std::thread thread_;
};

// That a record does not wait shows by the test coming to its end: the library is let go afterwards only.
TEST(RunFile, RecordsInTheJournalAtOnceWhenTheLibraryIsBusyAndCatchesUpAtTheNextRecord) {
  const ScratchFolder folder;
  RunFile run(folder.path(), true);
  run.metric({"loss", 0, 3.0, "nats"});
  {
    const BusyLibrary busy;
    record_everything(run);
    EXPECT_EQ(read_journal(folder.path() / "journal.jsonl").metrics.size(), 7u);
  }
  EXPECT_EQ(read_run_file(folder.path() / "run.h5").metrics.size(), 1u);
  run.metric({"loss", 1, 2.0, "nats"});
  EXPECT_EQ(to_json(read_run_file(folder.path() / "run.h5")), to_json(read_journal(folder.path() / "journal.jsonl")));
}

TEST(RunFile, CatchesUpWhenItIsClosed) {
  const ScratchFolder folder;
  {
    RunFile run(folder.path(), true);
    const BusyLibrary busy;
    record_everything(run);
  }
  EXPECT_EQ(to_json(read_run_file(folder.path() / "run.h5")), to_json(read_journal(folder.path() / "journal.jsonl")));
}

// For tests/parity/run_file_parity.py, which reads it with h5py.
TEST(RunFile, WritesASampleWhereAskedTo) {
  const char* folder = std::getenv("TERCET_RUN_FILE_SAMPLE");
  if (folder == nullptr) GTEST_SKIP() << "TERCET_RUN_FILE_SAMPLE names no folder";
  RunFile run(folder, true);
  record_everything(run);
  EXPECT_EQ(read_run_file(fs::path(folder) / "run.h5").metrics.size(), 6u);
}

}  // namespace
}  // namespace tercet
