#include "job/element_runner.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "job/element_run.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet::job {
namespace {

namespace fs = std::filesystem;

// A launcher that takes its time and then says that the input is bad.
struct SlowLauncher {
  explicit SlowLauncher(const fs::path& home) {
    const fs::path script = home / "launch" / "run.sh";
    test::write_text_file(script, "#!/bin/sh\nsleep 0.7\nexit 65\n");
    fs::permissions(script, fs::perms::owner_all);
    ::setenv("TERCET_HOME", home.c_str(), 1);
  }
  ~SlowLauncher() { ::unsetenv("TERCET_HOME"); }
};

// The watchdog ends a process that gives no sign of life, and jobs take hours.
TEST(RunElements, GivesSignsOfLifeWhileItsJobsRun) {
  const test::ScratchFolder scratch;
  const SlowLauncher launcher(scratch.path());
  Element element;
  element.name = "slow";
  const LimitsSection limits;
  const fs::path folder = scratch.path();
  std::vector<std::unique_ptr<ElementRun>> runs;
  runs.push_back(std::make_unique<ElementRun>(
      element, limits,
      ElementFiles{folder / "run", folder / "job.yaml", folder / "job.json", folder / "job.lock", folder / "job.log"}));
  const std::uint64_t before = heartbeat::place().beats;
  int ended = 0;
  EXPECT_EQ(run_elements(std::move(runs), {}, [&] { ++ended; }), std::vector<int>{65});
  EXPECT_GE(heartbeat::place().beats, before + 3);
  EXPECT_EQ(ended, 1);
}

}  // namespace
}  // namespace tercet::job
