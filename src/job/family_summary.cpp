#include "family_summary.hpp"

#include <algorithm>

#include "family_element.hpp"
#include "markdown_table.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/text.hpp"
#include "tercet/report/status.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kNightsShown = 7;

ElementSummary summary_of(const FamilyElement& element, const FamilyFolders& folders) {
  ElementSummary summary{element.name, element.model, element.target, "", "", {}, {}, {}, {}, 0};
  try {
    summary.details = read_element_state(folders.state(element.name));
    summary.history = read_history(folders.history(element.name));
  } catch (const StoreError& error) {
    summary.state = "unreadable";
    summary.reason = error.what();
    return summary;
  }
  summary.state = summary.details.state;
  summary.reason = summary.details.reason;
  if (summary.state == "waiting") {
    summary.state = "not started";
  } else if (summary.state == "running" && !is_locked(folders.lock(element.name))) {
    summary.state = "interrupted";
    summary.reason = "its driver was killed; the same command goes on";
  }
  for (const HistoryEntry& entry : summary.history) {
    if (entry.night == folders.night) summary.tonight = entry;
  }
  summary.accepted = last_accepted(summary.history, folders.night);
  for (const ElementAttempt& attempt : summary.details.attempts) {
    summary.seconds += attempt.ended.value_or(attempt.started) - attempt.started;
  }
  return summary;
}

std::string number(const std::optional<double>& value, int digits) {
  return value ? format_fixed(*value, digits) : "";
}

// "3.91 (+0.4 %)": what was accepted, and how far tonight's is from it.
std::string against_accepted(const ElementSummary& element) {
  if (!element.accepted) return element.tonight ? "first" : "";
  const std::optional<double>& then = element.accepted->figures.perplexity;
  if (!then) return "";
  const std::optional<double> now = element.tonight ? element.tonight->figures.perplexity : std::nullopt;
  if (!now) return format_fixed(*then, 3);
  const double percent = 100 * (*now / *then - 1);
  return format_fixed(*then, 3) + " (" + (percent >= 0 ? "+" : "") + format_fixed(percent, 1) + " %)";
}

Rows table_of(const std::vector<ElementSummary>& elements) {
  Rows rows = {
      {"model", "target", "verdict", "size", "ratio", "ppl before", "ppl after", "accepted ppl", "attempts", "time"}};
  for (const ElementSummary& element : elements) {
    const ElementFigures figures = element.tonight ? element.tonight->figures : ElementFigures{};
    rows.push_back({element.model, element.target, element.state,
                    figures.packed_bytes > 0 ? format_bytes(figures.packed_bytes) : "", number(figures.ratio, 2),
                    number(figures.perplexity_before, 3), number(figures.perplexity, 3), against_accepted(element),
                    std::to_string(element.details.attempts.size()),
                    element.seconds > 0 ? format_duration(element.seconds) : ""});
  }
  return rows;
}

// Nights of any element, oldest first, as far as they are shown.
std::vector<std::string> nights_of(const std::vector<ElementSummary>& elements) {
  std::vector<const HistoryEntry*> entries;
  for (const ElementSummary& element : elements) {
    for (const HistoryEntry& entry : element.history) entries.push_back(&entry);
  }
  std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) { return a->time < b->time; });
  std::vector<std::string> nights;
  for (const HistoryEntry* entry : entries) {
    std::erase(nights, entry->night);
    nights.push_back(entry->night);
  }
  if (nights.size() > kNightsShown) nights.erase(nights.begin(), nights.end() - kNightsShown);
  return nights;
}

std::string night_cell(const ElementSummary& element, const std::string& night) {
  const auto entry = std::find_if(element.history.begin(), element.history.end(),
                                  [&](const HistoryEntry& candidate) { return candidate.night == night; });
  if (entry == element.history.end()) return "";
  const std::string perplexity = number(entry->figures.perplexity, 3);
  if (entry->accepted()) return perplexity;
  return entry->state + (perplexity.empty() ? "" : " " + perplexity);
}

Rows nights_table(const std::vector<ElementSummary>& elements) {
  const std::vector<std::string> nights = nights_of(elements);
  Rows rows = {{"perplexity"}};
  rows[0].insert(rows[0].end(), nights.begin(), nights.end());
  for (const ElementSummary& element : elements) {
    std::vector<std::string> row = {element.name};
    for (const std::string& night : nights) row.push_back(night_cell(element, night));
    rows.push_back(row);
  }
  return nights.empty() ? Rows{} : rows;
}

// One line for each element that a person may want to look at.
std::vector<std::string> remarks(const std::vector<ElementSummary>& elements) {
  std::vector<std::string> lines;
  for (const ElementSummary& element : elements) {
    if (!element.reason.empty()) lines.push_back(element.name + ": " + element.reason);
    const auto& regression = element.details.regression;
    if (regression && regression->passed) lines.push_back(element.name + ": " + regression->sentence);
  }
  return lines;
}

json to_json(const ElementSummary& element, const FamilyFolders& folders) {
  const auto& regression = element.details.regression;
  json history = json::array();
  for (const HistoryEntry& entry : element.history) history.push_back(job::to_json(entry));
  return {{"name", element.name},
          {"model", element.model},
          {"target", element.target},
          {"state", element.state},
          {"reason", element.reason},
          {"run", folders.run(element.name).string()},
          {"figures", element.tonight ? job::to_json(element.tonight->figures) : json()},
          {"regression", regression ? job::to_json(*regression) : json()},
          {"accepted", element.accepted ? job::to_json(*element.accepted) : json()},
          {"published", element.details.published.empty()
                            ? json()
                            : json((folders.models(element.name) / element.details.published).string())},
          {"attempts", element.details.attempts.size()},
          {"seconds", element.seconds},
          {"history", history}};
}

}  // namespace

std::vector<ElementSummary> summarize(const FamilyConfig& family, const FamilyFolders& folders) {
  std::vector<ElementSummary> elements;
  for (const FamilyElement& element : family.elements) elements.push_back(summary_of(element, folders));
  return elements;
}

int exit_code_of(const std::vector<ElementSummary>& elements) {
  const auto all = [&](auto&& holds) { return std::all_of(elements.begin(), elements.end(), holds); };
  if (all([](const ElementSummary& element) { return element.state == "passed"; })) return 0;
  const bool verdicts = all([](const ElementSummary& element) { return has_verdict(element.details); });
  return static_cast<int>(verdicts ? ExitCode::kGateFailed : ExitCode::kInternal);
}

std::string summary_text(const std::vector<ElementSummary>& elements, const FamilyFolders& folders) {
  std::string text = "night " + folders.night + "\n\n" + format_table(table_of(elements));
  const std::vector<std::string> lines = remarks(elements);
  if (!lines.empty()) text += "\n";
  for (const std::string& line : lines) text += line + "\n";
  const Rows nights = nights_table(elements);
  return nights.empty() ? text : text + "\n" + format_table(nights);
}

std::string summary_markdown(const std::string& family, const std::vector<ElementSummary>& elements,
                             const FamilyFolders& folders) {
  std::string text = "# " + family + ", night " + folders.night + "\n\n" + markdown_table(table_of(elements));
  const std::vector<std::string> lines = remarks(elements);
  if (!lines.empty()) text += "\n## Reasons\n\n";
  for (const std::string& line : lines) text += "- " + line + "\n";
  const Rows nights = nights_table(elements);
  if (!nights.empty()) text += "\n## Last nights\n\n" + markdown_table(nights);
  return text;
}

json summary_json(const std::string& family, const std::vector<ElementSummary>& elements,
                  const FamilyFolders& folders) {
  json rows = json::array();
  for (const ElementSummary& element : elements) rows.push_back(to_json(element, folders));
  return {{"family", family},
          {"night", folders.night},
          {"written", iso_time(unix_time())},
          {"exit_code", exit_code_of(elements)},
          {"elements", rows}};
}

void write_summary(const std::string& family, const std::vector<ElementSummary>& elements,
                   const FamilyFolders& folders) {
  std::error_code error;
  fs::create_directories(folders.night_folder(), error);
  if (error) throw StoreError("cannot make '" + folders.night_folder().string() + "'", error.message());
  write_file_atomically(folders.night_folder() / "summary.md", summary_markdown(family, elements, folders));
  write_file_atomically(
      folders.night_folder() / "summary.json",
      summary_json(family, elements, folders).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace tercet::job
