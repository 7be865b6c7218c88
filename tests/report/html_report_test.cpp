#include "tercet/report/html_report.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "sample_run.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

class Page : public testing::Test {
 protected:
  std::string page() { return html_report(view_run(folder())); }
  const fs::path& folder() const { return scratch_.path(); }
  void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part;
  }

 private:
  test::ScratchFolder scratch_;
};

TEST_F(Page, HasAPartForEverythingThatWasRecorded) {
  test::record_sample_run(folder(), true);
  const std::string text = page();
  for (const char* id :
       {"gates", "figures", "models", "tasks", "bits", "training", "layers", "trits", "machine", "data", "origin"})
    expect_parts(text, {"<section id=\"" + std::string(id) + "\">", "href=\"#" + std::string(id) + "\""});
  expect_parts(text, {">passed</span>", "Steps that were not taken", "Perplexity on the way", "hellaswag"});
}

TEST_F(Page, LeavesOutWhatTheRunHasNot) {
  RunFile(folder(), true).metric({"training/loss", 1, 2.5, "nats"});
  const std::string text = page();
  expect_parts(text, {"<section id=\"training\">", "state unknown"});
  for (const char* id : {"gates", "figures", "models", "tasks", "bits", "layers", "trits", "machine", "data"})
    EXPECT_EQ(text.find("<section id=\"" + std::string(id) + "\""), std::string::npos) << id;
}

TEST_F(Page, SaysWhereTheJsonHasTheSameNumber) {
  test::record_sample_run(folder(), true);
  expect_parts(page(), {"<data data-key=\"/results/packed/perplexity\" value=\"21\">21.000</data>",
                        "<data data-key=\"/series/evaluation~1dequantized~1perplexity/last_value\" value=\"20.5\">",
                        "<data data-key=\"/timing/ranks/1/peak_memory_bytes\" value=\"1.25e+09\">1.25 GB</data>"});
}

TEST_F(Page, ShowsHowFastTheModelIsAndOnWhat) {
  test::record_sample_run(folder(), true);
  expect_parts(page(), {"<data data-key=\"/results/speed/packed/median\" value=\"1200\">1200.0</data>",
                        "<data data-key=\"/results/speed/bf16/bytes_per_token\" value=\"2e+06\">2.00 MB</data>",
                        "<data data-key=\"/results/speed/speedup/fp32\" value=\"3\">3.00x</data>",
                        "Some Processor, kernels avx2, 1 thread", "fit into the last-level cache of 32.0 MB"});
}

TEST_F(Page, SaysWhySpeedWasNotMeasured) {
  test::record_sample_run(folder(), true);
  RunResults results = test::sample_results();
  results.speed = DecodeSpeed{.refusal = "no <kernels>"};
  RunFile(folder(), true).provenance(kResultsKey, to_json(results));
  const std::string text = page();
  expect_parts(text, {"Not measured: no &lt;kernels&gt;."});
  EXPECT_EQ(text.find("faster by"), std::string::npos);
}

TEST_F(Page, ShowsSamplesWithTheirPlaceAndCutsLongOnes) {
  test::record_sample_run(folder(), true);
  expect_parts(page(), {"<pre data-key=\"/provenance/samples/prompt\">def up_proj</pre>",
                        "<pre data-key=\"/provenance/samples/texts/0/text\">(a):\n  up_proj</pre>",
                        "original, 48 tokens</h3>", "up_proj, 3 tokens, then it ends the text</h3>"});
  RunFile(folder(), true)
      .provenance(kSamplesKey, {{"prompt", "x"}, {"texts", {{{"model", "m"}, {"text", std::string(100000, 'y')}}}}});
  EXPECT_LT(page().find("y\xE2\x80\xA6</pre>"), std::string::npos);
  EXPECT_EQ(page().find(std::string(5000, 'y')), std::string::npos);
}

TEST_F(Page, ComparesThePlannedBitsWithThoseThatCameOut) {
  test::record_sample_run(folder(), true);
  // 8 * 24576 / (512 * 192) = 2 bits a weight planned, 2.125 stored
  expect_parts(page(), {"<data data-key=\"/provenance/allocation/predicted_bytes\" value=\"1000\">1 000</data>",
                        "<data data-key=\"/provenance/allocation/measured_nll_growth\" value=\"0.5\">0.50000</data>",
                        "<data value=\"2\">2.000</data>", "<data value=\"2.125\">2.125</data>",
                        "up_proj, groups of 128, with zero points", "1 layers, 24.6 kB"});
}

TEST_F(Page, ShowsTheHiddenLossWhereItWasRecorded) {
  RunFile(folder(), true).metric({"training/loss", 1, 2.5, "nats"});
  EXPECT_EQ(page().find("Hidden loss"), std::string::npos);
  RunFile(folder(), true).metric({"training/hidden", 1, 0.5, "1"});
  expect_parts(page(), {"<h3>Hidden loss</h3>"});
}

TEST_F(Page, ShowsNamesFromFilesAsText) {
  const std::string hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x1b[2J";
  test::record_sample_run(folder(), true, hostile);
  std::ofstream(folder() / "config.resolved.yaml") << "name: \"<script>alert(3)</script>\"\n";
  const std::string text = page();
  for (const char* part : {"<script", "<img", "onerror=alert(2)>", "\x1b", "'>"})
    EXPECT_EQ(text.find(part), std::string::npos) << part;
  expect_parts(text, {"&lt;script&gt;alert(1)", "<h1>&lt;script&gt;alert(3)&lt;/script&gt;</h1>", "&amp;amp;"});
}

TEST_F(Page, TakesAPartOfAWrongShapeForUnreadableAndShowsTheOthers) {
  test::record_sample_run(folder(), true);
  {
    RunFile run(folder(), true);
    run.provenance(kSolverKey, {{"layers", "no list"}, {"fallbacks", {1, "two", nullptr}}});
    run.provenance("data", {{"no", "list"}});
    run.provenance("source", 7);
    run.provenance(kSamplesKey, {{"prompt", 3}, {"texts", {1, nullptr, {{"model", 5}, {"tokens", "x"}}}}});
    run.provenance(kAllocationKey,
                   {{"target", 1}, {"layers", {7, {{"chosen", -1}}, {{"chosen", 0}, {"candidates", {nullptr}}}}}});
    run.provenance(kTritsKey, {{{"name", 3}, {"minus", "x"}}, 4});
    run.provenance("bad_steps.attempt-2", {nullptr, 5, {{"step", "nan"}, {"ranks", 3}}});
  }
  expect_parts(page(), {"<section id=\"gates\">", "<section id=\"layers\">", "</html>"});
}

TEST_F(Page, PutsNoFileOfTheReadersIntoItself) {
  test::record_sample_run(folder(), true);
  const test::ScratchFolder elsewhere;
  std::ofstream(elsewhere.path() / "key") << "name: secret";
  fs::create_symlink(elsewhere.path() / "key", folder() / "config.resolved.yaml");
  EXPECT_EQ(page().find("secret"), std::string::npos);
}

TEST_F(Page, CountsWhatTheLastAttemptRepeated) {
  {
    RunFile run(folder(), true);
    for (int step = 1; step <= 20; ++step) run.metric({"training/loss", step, 100, "nats"});
  }
  {
    RunFile run(folder(), true);
    for (int step = 11; step <= 30; ++step) run.metric({"training/loss", step, 1, "nats"});
  }
  const auto series = series_of(view_run(folder()).record, "training/loss");
  ASSERT_EQ(series.size(), 30u);
  EXPECT_EQ(series[9].value, 100);
  EXPECT_EQ(series[10].value, 1);
  for (std::size_t i = 0; i < series.size(); ++i) EXPECT_EQ(series[i].step, static_cast<std::int64_t>(i + 1));
}

TEST_F(Page, OfAJournalThatWasCutOffIsMadeFromWhatIsThere) {
  test::record_sample_run(folder(), true);
  fs::remove(folder() / "run.h5");
  fs::resize_file(folder() / "journal.jsonl", fs::file_size(folder() / "journal.jsonl") - 30);
  expect_parts(page(), {"<section id=\"training\">", "</html>"});
}

TEST(Exports, EscapeWhatTheirReadersWouldAct) {
  const test::ScratchFolder scratch;
  test::record_sample_run(scratch.path(), true, "=cmd|'a'!\"A1\"<b>");
  const RunView view = view_run(scratch.path());
  const std::string csv = layers_csv(view);
  EXPECT_NE(csv.find("\"model.layers.0.=cmd|'a'!\"\"A1\"\"<b>\",\"mlp.up\",\"ternary\",512,192,128,2.125,"),
            std::string::npos)
      << csv;
  const std::string markdown = markdown_report(view);
  for (std::size_t at = markdown.find("<b>"); at != std::string::npos; at = markdown.find("<b>", at + 1)) {
    const std::size_t line = markdown.rfind('\n', at) + 1;
    EXPECT_EQ(markdown.compare(line, 4, "    "), 0) << "markup outside a block of text: " << markdown.substr(line, 80);
  }
  EXPECT_NE(markdown.find("=cmd\\|'a'!\"A1\"&lt;b>"), std::string::npos) << markdown;
}

TEST(Exports, ShowSamplesInMarkdownAsTextThatCannotEnd) {
  const test::ScratchFolder scratch;
  test::record_sample_run(scratch.path(), true, "x\n```\n# <b>\x1b");
  const std::string markdown = markdown_report(view_run(scratch.path()));
  EXPECT_NE(markdown.find("\n    (a):\n      x\n    ```\n    # <b>\\x1b\n"), std::string::npos) << markdown;
  EXPECT_EQ(markdown.find("\n```"), std::string::npos) << markdown;
}

TEST(Exports, GiveFormulasInCsvAnApostrophe) {
  const test::ScratchFolder scratch;
  RunFile(scratch.path(), true).layers({{"=1+1", "@role", "ternary", 1, 1, 0, 2, 0, 0, 0, 0, 0, 0}});
  EXPECT_NE(layers_csv(view_run(scratch.path())).find("\"'=1+1\",\"'@role\",\"ternary\",1,1,0,2.0,"),
            std::string::npos);
}

TEST(Exports, OfMetricsHaveALineForEachValue) {
  const test::ScratchFolder scratch;
  test::record_sample_run(scratch.path(), false);
  const std::string csv = metrics_csv(view_run(scratch.path()));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 99);
  EXPECT_NE(csv.find("\"training/loss\",2,1,"), std::string::npos);
}

}  // namespace
}  // namespace tercet
