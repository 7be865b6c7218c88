#include "tercet/track/trackers.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "report/sample_run.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/report/metadata.hpp"
#include "track/event_file.hpp"
#include "track/growing_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using test::read_events;
using test::ScratchFolder;

using Steps = std::vector<std::pair<std::int64_t, float>>;

JobConfig with_tensorboard() {
  JobConfig config;
  config.trackers.tensorboard = true;
  return config;
}

// An attempt of a job: a run file whose records go to trackers.
class Attempt {
 public:
  Attempt(const JobConfig& config, const fs::path& folder) : run_(folder, true), trackers_(config, folder) {
    run_.tell([this](const RunRecord& news) { trackers_.take(news); });
  }
  void steps(int first, int last, double value) {
    for (int step = first; step <= last; ++step) run_.metric({"training/loss", step, value, "nats"});
  }
  RunFile& run() { return run_; }
  void end(int code) { trackers_.end(code); }

 private:
  RunFile run_;
  Trackers trackers_;
};

TEST(Values, ThatLaterAttemptsRepeatedAreLeftOut) {
  RunRecord run;
  for (const auto& [step, attempt, value] : {std::tuple{1, 1, 5.0}, {2, 1, 6.0}, {2, 2, 7.0}}) {
    run.metrics.push_back({"loss", step, value, "nats", attempt});
    run.wall_times.push_back(100.0 * attempt + step);
  }
  const auto values = values_of(run);
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(values[0].value, 5.0);
  EXPECT_EQ(values[1].value, 7.0);
  EXPECT_EQ(values[1].wall_time, 202.0);
}

TEST(Values, AreInTheOrderOfTheirTimes) {
  RunRecord run;
  run.metrics = {{"a", 1, 1, "1", 1}, {"a", 2, 1, "1", 1}, {"b", 1, 1, "1", 1}};
  run.wall_times = {10, 30, 20};
  const auto values = values_of(run);
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(values[1].series, "b");
}

TEST(Values, HaveTheOriginalSystemsNamesOnceThereAreResults) {
  const ScratchFolder folder;
  test::record_sample_run(folder.path(), true);
  std::map<std::string, double> last;
  for (const TrackedValue& value : values_of(view_run(folder.path()).record)) last[value.series] = value.value;
  const nlohmann::json definitions = metric_definitions();
  for (const auto& [name, sentence] : definitions.items()) EXPECT_TRUE(last.contains(name)) << name;
  EXPECT_EQ(last.at("compression/pre_perplexity"), 20.0);
  EXPECT_EQ(last.at("compression/accuracy_preserved"), 1.0);
  EXPECT_EQ(last.at("stage/up_proj/seconds"), 125.0);
  EXPECT_EQ(last.at("rank/1/peak_memory_bytes"), 1.25e9);
  EXPECT_EQ(last.at("gate/compression/passed"), 1.0);
  EXPECT_FALSE(last.contains("gate/handoff/passed"));  // it is off
}

TEST(Trackers, FollowARunRecordByRecord) {
  const ScratchFolder folder;
  Attempt attempt(with_tensorboard(), folder.path());
  attempt.steps(1, 2, 3.5);
  EXPECT_EQ(read_events(folder.path() / "tensorboard")["training/loss"], (Steps{{1, 3.5F}, {2, 3.5F}}));
  attempt.run().stage({"fine-tune", 1, 5});
  EXPECT_EQ(read_events(folder.path() / "tensorboard")["stage/fine-tune/seconds"], (Steps{{1, 4.0F}}));
}

TEST(Trackers, BeginALaterAttemptWithWhatEarlierOnesRecorded) {
  const ScratchFolder folder;
  {
    Attempt first(JobConfig{}, folder.path());  // no tracker was on
    first.steps(1, 2, 1.0);
  }
  Attempt second(with_tensorboard(), folder.path());
  second.steps(3, 3, 2.0);
  EXPECT_EQ(read_events(folder.path() / "tensorboard")["training/loss"], (Steps{{1, 1.0F}, {2, 1.0F}, {3, 2.0F}}));
}

TEST(Trackers, KeepNothingOfStepsThatALaterAttemptRepeated) {
  const ScratchFolder folder;
  { Attempt(with_tensorboard(), folder.path()).steps(1, 4, 1.0); }
  Attempt second(with_tensorboard(), folder.path());
  second.steps(3, 5, 2.0);
  second.run().stage({"fine-tune", 1, 5});
  second.end(0);
  EXPECT_EQ(test::event_files(folder.path() / "tensorboard").size(), 1u);
  auto points = read_events(folder.path() / "tensorboard");
  EXPECT_EQ(points["training/loss"], (Steps{{1, 1.0F}, {2, 1.0F}, {3, 2.0F}, {4, 2.0F}, {5, 2.0F}}));
  EXPECT_EQ(points["stage/fine-tune/seconds"], (Steps{{2, 4.0F}}));
}

TEST(Trackers, ThatFailAreSaidOnceAndEndNothing) {
  const ScratchFolder folder;
  test::write_text_file(folder.path() / "tensorboard", "a file where a folder should be");
  JobConfig config = with_tensorboard();
  config.trackers.prometheus = (folder.path() / "figures.prom").string();
  testing::internal::CaptureStderr();
  {
    Attempt attempt(config, folder.path());
    attempt.steps(1, 3, 1.0);
    attempt.end(0);
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_MENTIONS(said, "from here on no figures go to TensorBoard");
  EXPECT_EQ(said.find("TensorBoard ("), said.rfind("TensorBoard ("));
  EXPECT_MENTIONS(read_file(folder.path() / "figures.prom"), "name=\"training/loss\"");  // the other one works on
}

TEST(Trackers, ThatFailOnTheWayAreLeftOutFromThereOn) {
  const ScratchFolder folder;
  JobConfig config = with_tensorboard();
  config.trackers.prometheus = (folder.path() / "textfiles").string();
  Attempt attempt(config, folder.path() / "run");
  attempt.steps(1, 1, 1.0);
  fs::remove_all(folder.path() / "textfiles");
  testing::internal::CaptureStderr();
  attempt.end(0);
  attempt.end(0);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_MENTIONS(said, "no figures go to Prometheus");
  EXPECT_EQ(said.find("to Prometheus"), said.rfind("to Prometheus"));
  EXPECT_MENTIONS(read_file(test::event_files(folder.path() / "run" / "tensorboard").at(0)), "report");
}

TEST(GrowingFile, SaysThatADiskIsFull) {
  track::GrowingFile file("/dev/full");
  EXPECT_MENTIONS(test::message_of<StoreError>([&] { file.append("x"); }), "No space left on device");
}

TEST(Trackers, ReplayOfAFinishedRunEndsWithItsReport) {
  const ScratchFolder folder;
  test::record_sample_run(folder.path(), true);
  const RunView view = view_run(folder.path());
  replay(*tensorboard_tracker(folder.path() / "events", tracked_run(view)), view);
  EXPECT_EQ(read_events(folder.path() / "events")["training/loss"].size(), 30u);
  EXPECT_MENTIONS(read_file(test::event_files(folder.path() / "events").at(0)), "## Gates");
}

TEST(TensorBoard, LeavesFilesOfOthersAlone) {
  const ScratchFolder folder;
  test::write_text_file(folder.path() / "events.out.tfevents.1.host.1.0", "another program's");
  test::write_text_file(folder.path() / "notes.tercet", "a file");
  tensorboard_tracker(folder.path(), {});
  tensorboard_tracker(folder.path(), {});
  EXPECT_EQ(test::event_files(folder.path()).size(), 3u);
  EXPECT_EQ(read_file(folder.path() / "events.out.tfevents.1.host.1.0"), "another program's");
}

TEST(Wandb, HasOnePlaceHoweverOftenItIsWritten) {
  const ScratchFolder folder;
  TrackedRun run;
  run.name = "mine";
  run.began = 1795713141.5;
  wandb_tracker(folder.path(), run, {});
  const fs::path place = wandb_folder(folder.path(), run);
  EXPECT_EQ(place.filename().string().substr(0, 28), "offline-run-20261126_171221-");
  const std::string id = place.filename().string().substr(28);
  test::write_text_file(place / ("run-" + id + ".wandb.synced"), "");
  wandb_tracker(folder.path(), run, {});
  EXPECT_TRUE(fs::exists(place / ("run-" + id + ".wandb")));
  EXPECT_FALSE(fs::exists(place / ("run-" + id + ".wandb.synced")));  // it can be sent again
}

constexpr double kNever = 1e9;  // interval

TEST(Prometheus, EscapesLabelsAndWritesWordsForWhatIsNotFinite) {
  const ScratchFolder folder;
  TrackedRun run;
  run.name = "a \"b\"\\\nc";
  run.folder = "/runs/a";
  run.began = 100;
  const auto tracker = prometheus_tracker(folder.path() / "x.prom", run, kNever);
  tracker->add({"training/loss", 7, std::numeric_limits<double>::infinity(), "nats", 105});
  tracker->add({"training/kl", 7, std::numeric_limits<double>::quiet_NaN(), "nats", 106});
  tracker->end(3, 110);
  const std::string labels = R"({run="a \"b\"\\\nc",folder="/runs/a")";
  EXPECT_EQ(read_file(folder.path() / "x.prom"),
            "# HELP tercet_metric Newest value of a series of the run.\n# TYPE tercet_metric gauge\n"
            "tercet_metric" +
                labels + R"(,name="training/kl",unit="nats"} NaN)" +
                "\n"
                "tercet_metric" +
                labels + R"(,name="training/loss",unit="nats"} +Inf)" +
                "\n"
                "# HELP tercet_metric_step Its step.\n# TYPE tercet_metric_step gauge\n"
                "tercet_metric_step" +
                labels + R"(,name="training/kl",unit="nats"} 7)" +
                "\n"
                "tercet_metric_step" +
                labels + R"(,name="training/loss",unit="nats"} 7)" +
                "\n"
                "# HELP tercet_run_began_time_seconds Start of the first attempt, seconds since 1970.\n"
                "# TYPE tercet_run_began_time_seconds gauge\ntercet_run_began_time_seconds" +
                labels +
                "} 100.0\n"
                "# HELP tercet_run_updated_time_seconds Newest record of the run, seconds since 1970.\n"
                "# TYPE tercet_run_updated_time_seconds gauge\ntercet_run_updated_time_seconds" +
                labels +
                "} 110.0\n"
                "# HELP tercet_run_ended 1: the run has ended; 0: it works, or was killed.\n"
                "# TYPE tercet_run_ended gauge\ntercet_run_ended" +
                labels +
                "} 1.0\n"
                "# HELP tercet_run_exit_code Exit code of the run: 0 passed, 3 a gate failed.\n"
                "# TYPE tercet_run_exit_code gauge\ntercet_run_exit_code" +
                labels + "} 3.0\n");
}

TEST(Prometheus, IsWrittenNoMoreOftenThanAsked) {
  const ScratchFolder folder;
  TrackedRun run;
  run.folder = folder.path();
  const auto tracker = prometheus_tracker(folder.path() / "x.prom", run, kNever);
  tracker->add({"a", 1, 1, "1", 1});
  EXPECT_FALSE(fs::exists(folder.path() / "x.prom"));
  tracker->end(0, 2);
  EXPECT_TRUE(fs::exists(folder.path() / "x.prom"));
}

TEST(Prometheus, NamesItsFileInAFolderAfterTheRun) {
  const ScratchFolder folder;
  TrackedRun run;
  run.folder = folder.path();
  run.name = "../a b";
  prometheus_tracker(folder.path() / "textfiles", run)->end(0, 1);
  EXPECT_TRUE(fs::exists(folder.path() / "textfiles" / "tercet-.._a_b.prom"));
}

}  // namespace
}  // namespace tercet
