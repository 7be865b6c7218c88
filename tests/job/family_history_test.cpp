#include <gtest/gtest.h>

#include <fstream>

#include "job/family_history.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/file.hpp"

namespace tercet::job {
namespace {

namespace fs = std::filesystem;

HistoryEntry entry(const std::string& night, const std::string& state, double perplexity) {
  const bool accepted = state == "passed";
  return {night, state, accepted ? "" : "why", 1e9, {3.0, perplexity, 0.5, 8.0, 1000}, accepted ? night + "-f" : ""};
}

struct History : testing::Test {
  test::ScratchFolder scratch;
  fs::path file = scratch.path() / "history" / "a-x.jsonl";
};

TEST_F(History, AnAbsentFileIsAnEmptyHistory) {
  EXPECT_TRUE(read_history(file).empty());
}

TEST_F(History, KeepsFiguresInTheOrderOfTheNights) {
  append_history(file, entry("n1", "passed", 4.0));
  append_history(file, entry("n2", "gate_failed", 9.0));
  const auto history = read_history(file);
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(to_json(history[0]), to_json(entry("n1", "passed", 4.0)));
  EXPECT_EQ(to_json(history[1]), to_json(entry("n2", "gate_failed", 9.0)));
}

TEST_F(History, OfANightTheLastLineCountsAndTheSameIsNotWrittenTwice) {
  append_history(file, entry("n1", "failed", 4.0));
  append_history(file, entry("n1", "passed", 4.0));
  const std::string before = read_file(file);
  append_history(file, entry("n1", "passed", 4.0));
  EXPECT_EQ(read_file(file), before);
  ASSERT_EQ(read_history(file).size(), 1u);
  EXPECT_TRUE(read_history(file)[0].accepted());
}

TEST_F(History, TheLastAcceptedIsTheNewestPassOfAnotherNight) {
  append_history(file, entry("n1", "passed", 4.0));
  append_history(file, entry("n2", "passed", 3.9));
  append_history(file, entry("n3", "regressed", 5.0));
  append_history(file, entry("n4", "passed", 3.8));
  EXPECT_EQ(last_accepted(read_history(file), "n4")->night, "n2");
  EXPECT_EQ(last_accepted(read_history(file), "n5")->night, "n4");
  EXPECT_FALSE(last_accepted({}, "n1"));
}

TEST_F(History, ALastLineThatWasCutShortIsPassedOverAndTheNextOneIsWhole) {
  append_history(file, entry("n1", "passed", 4.0));
  append_history(file, entry("n2", "passed", 3.9));
  fs::resize_file(file, fs::file_size(file) - 20);
  ASSERT_EQ(read_history(file).size(), 1u);
  append_history(file, entry("n3", "passed", 3.8));
  const auto history = read_history(file);
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0].night, "n1");
  EXPECT_EQ(history[1].night, "n3");
}

TEST_F(History, DamagedLinesInTheMiddleCostOnlyThemselves) {
  append_history(file, entry("n1", "passed", 4.0));
  std::ofstream(file, std::ios::app) << "\x01\xff\n[]\n{\"night\": 3}\nnull\n\n";
  append_history(file, entry("n2", "passed", 3.9));
  EXPECT_EQ(read_history(file).size(), 2u);
}

TEST_F(History, FiguresThatAreNoNumbersSurvive) {
  HistoryEntry odd = entry("n1", "gate_failed", std::nan(""));
  odd.figures.accuracy = std::nullopt;
  append_history(file, odd);
  const ElementFigures figures = read_history(file).at(0).figures;
  EXPECT_TRUE(std::isnan(*figures.perplexity));
  EXPECT_FALSE(figures.accuracy);
}

}  // namespace
}  // namespace tercet::job
