// tercet family: models times targets, each pair a job of its own. This process starts them, judges them against the
// nights before, publishes, and sums up; it computes nothing itself and is no MPI rank.
#include <ctime>
#include <memory>
#include <numeric>
#include <utility>

#include "element_runner.hpp"
#include "family_element.hpp"
#include "family_summary.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/job/commands.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using job::ElementSummary;
using job::FamilyFolders;
using nlohmann::json;

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  char text[16] = "";
  if (::localtime_r(&now, &parts) == nullptr) return "today";
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d", &parts));
}

FamilyFolders folders_of(const FamilyConfig& family, const FamilyRequest& request) {
  const std::string night = request.night.empty() ? today() : request.night;
  if (!is_plain_name(night)) {
    throw ConfigError("--night '" + night + "' cannot name a folder", "letters, digits, '.', '_' and '-' can",
                      "for example --night 2026-11-25");
  }
  return {family.output, night};
}

CommandResult listed(const std::vector<ElementSummary>& elements, const FamilyFolders& folders) {
  json rows = json::array();
  std::string text;
  for (std::size_t index = 0; index < elements.size(); ++index) {
    const std::string run = folders.run(elements[index].name).string();
    rows.push_back({{"index", index}, {"name", elements[index].name}, {"run", run}, {"state", elements[index].state}});
    text += std::to_string(index) + "\t" + elements[index].name + "\t" + run + "\t" + elements[index].state + "\n";
  }
  return {ExitCode::kPassed, {{"night", folders.night}, {"elements", rows}}, text};
}

CommandResult summed_up(const FamilyConfig& family, const FamilyFolders& folders, bool markdown) {
  const std::vector<ElementSummary> elements = job::summarize(family, folders);
  job::write_summary(family.name, elements, folders);
  return {static_cast<ExitCode>(job::exit_code_of(elements)), job::summary_json(family.name, elements, folders),
          markdown ? job::summary_markdown(family.name, elements, folders) : job::summary_text(elements, folders)};
}

// Exit codes in the order of `indices`.
std::vector<int> run_these(const FamilyConfig& family, const FamilyFolders& folders,
                           const std::vector<std::size_t>& indices) {
  std::vector<std::unique_ptr<job::ElementRun>> runs;
  for (const std::size_t index : indices) {
    runs.push_back(std::make_unique<job::FamilyElementRun>(family, family.elements[index], folders));
  }
  return job::run_elements(std::move(runs), family.packing);
}

CommandResult run_one(const FamilyConfig& family, const FamilyFolders& folders, std::int64_t index) {
  const auto count = static_cast<std::int64_t>(family.elements.size());
  if (index < 0 || index >= count) {
    throw ConfigError("there is no element " + std::to_string(index),
                      "the family has elements 0 to " + std::to_string(count - 1), "`--list` shows them");
  }
  const auto place = static_cast<std::size_t>(index);
  const int code = run_these(family, folders, {place}).front();
  FamilyConfig alone = family;
  alone.elements = {family.elements[place]};
  const std::vector<ElementSummary> summary = job::summarize(alone, folders);
  return {static_cast<ExitCode>(code), job::summary_json(family.name, summary, folders),
          job::summary_text(summary, folders)};
}

CommandResult run_all(const FamilyConfig& family, const FamilyFolders& folders) {
  std::vector<std::size_t> indices(family.elements.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  const std::vector<int> codes = run_these(family, folders, indices);
  CommandResult result = summed_up(family, folders, false);
  for (int code : codes) {
    if (code == static_cast<int>(ExitCode::kStopped)) result.code = ExitCode::kStopped;
  }
  return result;
}

}  // namespace

CommandResult family(Runtime& runtime, const FamilyRequest& request) {
  if (runtime.control().backend() != "self") {
    throw ConfigError("`tercet family` was started as an MPI rank", "it starts the ranks of its elements itself",
                      "run it without mpirun or srun");
  }
  const FamilyConfig family = load_family_config(request.file);
  const FamilyFolders folders = folders_of(family, request);
  const std::size_t count = family.elements.size();
  if (request.count) return {ExitCode::kPassed, {{"count", count}}, std::to_string(count) + "\n"};
  if (request.list) return listed(job::summarize(family, folders), folders);
  if (request.summary) return summed_up(family, folders, request.markdown);
  if (request.element) return run_one(family, folders, *request.element);
  return run_all(family, folders);
}

}  // namespace tercet
