#include "dashboard/catalogue.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "dashboard/runs.hpp"
#include "tercet/base/error.hpp"

namespace tercet::dashboard {
namespace {

namespace fs = std::filesystem;
using Catalogues = test::WithRuns;
using namespace std::chrono_literals;

const ListedRun& find(const Listing& listing, const std::string& path) {
  for (const ListedRun& run : listing.runs)
    if (run.path == path) return run;
  throw std::runtime_error("no run " + path);
}

void let_looks_expire() {
  std::this_thread::sleep_for(1100ms);
}

TEST_F(Catalogues, ListRunsAndFamiliesWithWhatIsKnown) {
  finished("a");
  running("group/deep/b");
  family("nightly");
  Catalogue catalogue(folder());
  const auto listing = catalogue.listing(10s);
  ASSERT_EQ(listing->runs.size(), 3u);
  EXPECT_EQ(listing->families, std::vector<std::string>{"nightly"});
  EXPECT_EQ(listing->unread, 0u);
  EXPECT_EQ(find(*listing, "a").summary.state, "passed");
  EXPECT_EQ(find(*listing, "a").summary.perplexity_after, 21.0);
  const ListedRun& working = find(*listing, "group/deep/b");
  EXPECT_EQ(working.summary.name, "named");
  EXPECT_EQ(working.work.what, "fine-tune");
  EXPECT_EQ(working.work.done, 10u);
  EXPECT_EQ(find(*listing, "nightly/runs/2026-11-25/small-g32").summary.state, "passed");
}

TEST_F(Catalogues, SayTheSameAsTheCommandRuns) {
  finished("a");
  running("b");
  Catalogue catalogue(folder());
  std::vector<RunSummary> mine;
  for (const ListedRun& run : catalogue.listing(10s)->runs) mine.push_back(run.summary);
  auto json = runs_json(mine), theirs = runs_json(runs_below(folder()));
  for (auto* list : {&json, &theirs})
    for (auto& run : list->at("runs")) run.erase("seconds"), run.erase("silent_s");  // of two moments
  EXPECT_EQ(json, theirs);
}

TEST_F(Catalogues, SeeWhatChangedAndWhatIsGone) {
  running("b");
  finished("c");
  Catalogue catalogue(folder());
  EXPECT_EQ(find(*catalogue.listing(10s), "b").work.done, 10u);
  beat("b", 25);
  fs::remove_all(folder() / "c");
  finished("d");
  let_looks_expire();
  const auto later = catalogue.listing(10s);
  EXPECT_EQ(later->runs.size(), 2u);
  EXPECT_EQ(find(*later, "b").work.done, 25u);
  test::record_sample_run(folder() / "b", true);
  let_looks_expire();
  EXPECT_EQ(find(*catalogue.listing(10s), "b").summary.state, "passed");
}

TEST_F(Catalogues, SayWhatTheyHadNoTimeFor) {
  for (const char* name : {"a", "b", "c"}) finished(name);
  Catalogue catalogue(folder());
  const auto none = catalogue.listing(0ms);
  EXPECT_EQ(none->unread, 3u);
  EXPECT_EQ(none->runs.size(), 3u);
  EXPECT_FALSE(none->runs[0].read);
  EXPECT_EQ(catalogue.listing(10s)->unread, 0u);
}

TEST_F(Catalogues, OpenARunByItsNameInTheListAndNothingElse) {
  finished("a/b");
  Catalogue catalogue(folder());
  ASSERT_NE(catalogue.open("a/b"), nullptr);
  const std::string absolute = (folder() / "a/b").string();
  for (const std::string& path : {std::string("."), std::string(""), std::string("a"), std::string("a/../a/b"),
                                  std::string("../"), absolute, std::string("a/b/"), std::string("a/b\0", 4)}) {
    EXPECT_EQ(catalogue.open(path), nullptr) << path;
  }
}

TEST_F(Catalogues, AFolderThatIsARunIsOne) {
  finished(".");
  Catalogue catalogue(folder());
  ASSERT_EQ(catalogue.listing(10s)->runs.size(), 1u);
  EXPECT_EQ(catalogue.open(".")->look()->glance.state, "passed");
}

TEST_F(Catalogues, FollowNoLinkOutOfAFolder) {
  const test::ScratchFolder elsewhere;
  test::record_sample_run(elsewhere / "secret", true);
  fs::create_directories(folder() / "runs");
  fs::create_directory_symlink(elsewhere / "secret", folder() / "runs" / "linked");
  finished("files");
  fs::remove(folder() / "files" / "journal.jsonl");
  fs::create_symlink(elsewhere / "secret" / "journal.jsonl", folder() / "files" / "journal.jsonl");
  Catalogue catalogue(folder());
  const auto listing = catalogue.listing(10s);
  ASSERT_EQ(listing->runs.size(), 1u);
  EXPECT_EQ(listing->runs[0].summary.state, "unreadable");
  EXPECT_NE(listing->runs[0].summary.sentence.find("link out of the run"), std::string::npos);
  EXPECT_THROW(catalogue.open("files")->look(), StoreError);
}

TEST_F(Catalogues, WithstandAnyRun) {
  finished("whole");
  test::write_text_file(folder() / "rubbish" / "status.json", "{");
  test::write_text_file(folder() / "rubbish" / "journal.jsonl", "rubbish\n\xff\n{\"kind\":\"prov");
  test::write_text_file(folder() / "sparse" / "status.json", R"({"state":"running"})");
  test::write_text_file(folder() / "sparse" / "journal.jsonl", "{}\n");
  fs::resize_file(folder() / "sparse" / "journal.jsonl", std::uintmax_t{1} << 30);
  test::write_text_file(folder() / "pipe" / "status.json", "{}");
  ASSERT_EQ(::mkfifo((folder() / "pipe" / "journal.jsonl").c_str(), 0600), 0);
  Catalogue catalogue(folder());
  const auto listing = catalogue.listing(20s);
  EXPECT_EQ(listing->runs.size(), 4u);
  EXPECT_EQ(find(*listing, "rubbish").summary.state, "unreadable");
  EXPECT_EQ(find(*listing, "pipe").summary.state, "unreadable");
  EXPECT_EQ(find(*listing, "sparse").summary.state, "running");
  EXPECT_GT(catalogue.open("sparse")->look()->skipped_bytes, 1000u << 20);
}

TEST_F(Catalogues, KeepUpWithARunOverItsAttempts) {
  running("b");
  Catalogue catalogue(folder());
  const auto run = catalogue.open("b");
  EXPECT_EQ(series_of(run->look()->view.record, "training/loss").size(), 30u);
  {  // killed in the middle of a line, and started again
    std::ofstream(folder() / "b" / "journal.jsonl", std::ios::app) << R"({"kind":"metric","t":17)";
    run->look();
    RunFile again(folder() / "b", true);
    again.metric({"training/loss", 30, 0.25, "nats"});
    again.metric({"training/loss", 31, 0.125, "nats"});
  }
  std::this_thread::sleep_for(600ms);
  const auto look = run->look();
  const auto loss = series_of(look->view.record, "training/loss");
  ASSERT_EQ(loss.size(), 31u);
  EXPECT_EQ(loss[29].value, 0.25);
  EXPECT_EQ(loss[30].value, 0.125);
  EXPECT_EQ(look->view.record.attempts.size(), 2u);
  EXPECT_EQ(look->glance.damaged_lines, 0u);
}

TEST_F(Catalogues, ReadARunFileForThePageOfItsRunOnly) {
  finished("a");
  fs::remove(folder() / "a" / "journal.jsonl");
  Catalogue catalogue(folder());
  const auto listing = catalogue.listing(10s);
  EXPECT_EQ(listing->runs.at(0).summary.state, "passed");
  EXPECT_FALSE(listing->runs.at(0).summary.ratio);
  EXPECT_EQ(catalogue.open("a")->look()->view.record.layers.size(), 2u);
}

TEST_F(Catalogues, ShowTheSameRecordsAsAReport) {
  finished("a");
  Catalogue catalogue(folder());
  const auto look = catalogue.open("a")->look();
  EXPECT_EQ(report_json(look->view), report_json(view_run(folder() / "a")));
}

}  // namespace
}  // namespace tercet::dashboard
