// Many runs as a table.
#include <algorithm>
#include <system_error>

#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/glance.hpp"
#include "tercet/report/status.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr int kDeepest = 3;
constexpr std::size_t kMostRuns = 10'000;

void find_runs(const fs::path& folder, int depth, std::vector<fs::path>& runs) {
  if (runs.size() >= kMostRuns) return;
  if (is_run(folder)) return runs.push_back(folder);  // inside a run there is no other
  if (depth == 0) return;
  std::error_code error;
  std::vector<fs::path> below;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (fs::symlink_status(entry->path()).type() == fs::file_type::directory) below.push_back(entry->path());
  }
  std::sort(below.begin(), below.end());  // the same order each time where runs began in the same second
  if (error) log::warn("cannot list '" + folder.string() + "': " + error.message());
  for (const fs::path& inside : below) find_runs(inside, depth - 1, runs);
}

RunSummary summary_at(const fs::path& folder) {
  try {
    return summary_of(RunWatcher(folder, kSummaryBounds).look());
  } catch (const Error& error) {
    return unreadable_run(folder, error.what());
  }
}

// Of the model as it was measured last.
std::optional<double> perplexity_after(const Glance& run) {
  for (const char* model : {"packed", "tuned by block", "quantized"}) {
    if (const auto value = run.value(std::string("evaluation/") + model + "/perplexity")) return value;
  }
  return std::nullopt;
}

std::optional<double> ratio_of(const Glance& run) {
  return run.results ? run.results->ratio(run.results->baseline) : std::nullopt;
}

// Of a run under way: until now.
std::optional<double> seconds_of(const Glance& run) {
  const double began = unix_time_of(run.started);
  return run.over() || began == 0 ? run.seconds : std::optional(std::max(0.0, run.time - began));
}

std::string place_of(const fs::path& run, const fs::path& folder) {
  const std::string relative = run.lexically_relative(folder).string();
  return relative.empty() || relative == "." ? run.string() : relative;
}

}  // namespace

bool is_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "status.json", ignored) &&
         (fs::exists(folder / "journal.jsonl", ignored) || fs::exists(folder / "run.h5", ignored));
}

RunSummary summary_of(const Glance& run) {
  return {run.folder,
          run.name,
          run.state,
          run.sentence,
          run.started,
          run.exit_code,
          ratio_of(run),
          run.value("evaluation/before/perplexity"),
          perplexity_after(run),
          seconds_of(run),
          run.silent_s()};
}

RunSummary unreadable_run(const fs::path& folder, const std::string& reason) {
  return {folder, folder.filename().string(), "unreadable", reason, "", {}, {}, {}, {}, {}, {}};
}

std::string state_in_words(const RunSummary& run) {
  if (run.silent_s && *run.silent_s > kDefaultHangTimeout) return run.state + ", but silent";
  return run.state.empty() ? "unknown" : run.state;
}

std::vector<RunSummary> runs_below(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw StoreError("'" + folder.string() + "' is no folder", "", "give a folder of runs");
  std::vector<fs::path> folders;
  find_runs(folder, kDeepest, folders);
  std::vector<RunSummary> runs;
  for (const fs::path& run : folders) runs.push_back(summary_at(run));
  std::stable_sort(runs.begin(), runs.end(),
                   [](const RunSummary& a, const RunSummary& b) { return a.started > b.started; });
  return runs;
}

std::string runs_table(const fs::path& folder, const std::vector<RunSummary>& runs) {
  if (runs.empty()) return "no runs in '" + folder.string() + "'\n";
  std::vector<std::vector<std::string>> rows = {
      {"run", "name", "state", "ratio", "before", "after", "time", "started"}};
  for (const RunSummary& run : runs) {
    rows.push_back({place_of(run.folder, folder), run.name, state_in_words(run), format_or_dash(run.ratio, 2, "x"),
                    format_or_dash(run.perplexity_before, 3), format_or_dash(run.perplexity_after, 3),
                    run.seconds ? format_duration(*run.seconds) : "-", run.started});
  }
  return format_table(rows);
}

json runs_json(const std::vector<RunSummary>& runs) {
  const auto optional = [](const std::optional<double>& value) { return value ? json(*value) : json(); };
  auto list = json::array();
  for (const RunSummary& run : runs) {
    list.push_back({{"run", run.folder.string()},
                    {"name", run.name},
                    {"state", run.state},
                    {"exit_code", run.exit_code ? json(*run.exit_code) : json()},
                    {"sentence", run.sentence},
                    {"ratio", optional(run.ratio)},
                    {"perplexity_before", optional(run.perplexity_before)},
                    {"perplexity_after", optional(run.perplexity_after)},
                    {"seconds", optional(run.seconds)},
                    {"silent_s", optional(run.silent_s)},
                    {"started", run.started}});
  }
  return {{"runs", list}};
}

}  // namespace tercet
