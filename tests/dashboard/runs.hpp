// A folder with runs in it, as jobs and strangers leave them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "report/sample_run.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/report/heartbeat_file.hpp"

namespace tercet::test {

inline constexpr const char* kHostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;";

class WithRuns : public testing::Test {
 protected:
  const std::filesystem::path& folder() const { return scratch_.path(); }
  void finished(const std::string& name, const std::string& words = "up_proj") const {
    record_sample_run(folder() / name, true, words);
  }
  void running(const std::string& name, const std::string& words = "up_proj") const {
    record_sample_run(folder() / name, false, words);
    write_text_file(folder() / name / "config.resolved.yaml", "name: named\n");
    beat(name, 10, words);
  }
  void beat(const std::string& name, std::uint64_t done, const std::string& words = "node7") const {
    RankState rank;
    rank.known = true;
    rank.host = words;
    rank.place = {1, "compress > fine-tune", done, 40, false, "", 0, 0, 0};
    rank.memory_bytes = 2'000'000'000;
    write_heartbeat(folder() / name, {unix_time(), {rank}});
  }
  // A family of two elements and two nights.
  void family(const std::string& name) const {
    const std::filesystem::path output = folder() / name;
    const auto line = [](const std::string& night, const std::string& state, double time, double perplexity) {
      return R"({"night":")" + night + R"(","state":")" + state + R"(","reason":"","time":)" + std::to_string(time) +
             R"(,"published":")" + (state == "passed" ? night + "-abc" : "") +
             R"(","figures":{"perplexity_before":10,)" + R"("perplexity":)" + std::to_string(perplexity) +
             R"(,"accuracy":0.5,"ratio":7.5,"packed_bytes":1000}})" + "\n";
    };
    write_text_file(output / "history" / "small-g32.jsonl",
                    line("2026-11-24", "passed", 1, 12.5) + "rubbish\n" + line("2026-11-25", "regressed", 2, 14.25));
    for (const char* night : {"2026-11-24", "2026-11-25", "2026-11-26"}) {
      write_text_file(output / "nights" / night / "elements" / "small-g32.json",
                      R"({"state":"running","reason":"","published":"","attempts":[{}]})");
      write_text_file(output / "nights" / night / "elements" / "broken-g32.json", "{");
    }
    finished(name + "/runs/2026-11-25/small-g32");
  }

 private:
  ScratchFolder scratch_;
};

}  // namespace tercet::test
