#include "dashboard/family_files.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "dashboard/run_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/report/run_view.hpp"

namespace tercet::dashboard {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr std::size_t kHistoryBytes = std::size_t{512} << 10;  // of one element: the last thousand nights
constexpr std::uintmax_t kLargestState = 1 << 20;
constexpr std::size_t kMostElements = 500, kMostNights = 1000;

// Names of the files (or folders) in a folder that is no link.
std::vector<std::string> names_in(const fs::path& folder, fs::file_type type, std::size_t most) {
  std::vector<std::string> names;
  std::error_code error, ignored;
  if (fs::symlink_status(folder, ignored).type() != fs::file_type::directory) return names;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (entry->symlink_status(ignored).type() == type) names.push_back(entry->path().filename().string());
    if (names.size() == 10 * most) break;
  }
  std::sort(names.begin(), names.end());
  if (names.size() > most) names.erase(names.begin(), names.end() - static_cast<std::ptrdiff_t>(most));
  return names;
}

std::string without_ending(const std::string& name, const std::string& ending) {
  return name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : "";
}

json object_of(const std::string& text) {
  try {
    return parse_json_object(text, "a line");
  } catch (const Error&) {
    return json::object();
  }
}

NightOutcome outcome_of(const json& line) {
  NightOutcome outcome{text_in(line, "night"),
                       text_in(line, "state"),
                       text_in(line, "reason"),
                       text_in(line, "published"),
                       number_in(line, "time").value_or(0),
                       {},
                       {},
                       {},
                       {},
                       {}};
  const auto figures = line.find("figures");
  if (figures == line.end()) return outcome;
  outcome.perplexity_before = number_in(*figures, "perplexity_before");
  outcome.perplexity = number_in(*figures, "perplexity");
  outcome.accuracy = number_in(*figures, "accuracy");
  outcome.ratio = number_in(*figures, "ratio");
  outcome.packed_bytes = number_in(*figures, "packed_bytes");
  return outcome;
}

// The last line of a night counts.
std::vector<NightOutcome> history_in(const std::string& text) {
  std::vector<NightOutcome> history;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    NightOutcome outcome = outcome_of(object_of(text.substr(begin, end - begin)));
    begin = end + 1;
    if (outcome.night.empty()) continue;
    std::erase_if(history, [&](const NightOutcome& earlier) { return earlier.night == outcome.night; });
    history.push_back(std::move(outcome));
  }
  return history;
}

// Nights by the time of their outcomes; those without one, which are under way, by name behind them.
std::vector<std::string> in_order(const std::set<std::string>& names, const Family& family) {
  std::map<std::string, double> times;
  for (const FamilyElementHistory& element : family.elements)
    for (const NightOutcome& outcome : element.history)
      times[outcome.night] = std::max(times[outcome.night], outcome.time);
  std::vector<std::string> nights(names.begin(), names.end());
  for (const auto& [night, time] : times)
    if (!names.contains(night)) nights.push_back(night);
  const auto time_of = [&](const std::string& night) { return times.contains(night) ? times[night] : 1e18; };
  std::stable_sort(nights.begin(), nights.end(), [&](const std::string& a, const std::string& b) {
    return time_of(a) != time_of(b) ? time_of(a) > time_of(b) : a > b;
  });
  return nights;
}

std::string link_target(const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return error ? "" : target.filename().string();
}

}  // namespace

const NightOutcome* FamilyElementHistory::at(const std::string& night) const {
  const auto found =
      std::find_if(history.begin(), history.end(), [&](const NightOutcome& outcome) { return outcome.night == night; });
  return found == history.end() ? nullptr : &*found;
}

bool Family::has(const std::string& night) const {
  return std::find(nights.begin(), nights.end(), night) != nights.end();
}

const FamilyElementHistory* Family::element(const std::string& name) const {
  const auto found = std::find_if(elements.begin(), elements.end(),
                                  [&](const FamilyElementHistory& element) { return element.name == name; });
  return found == elements.end() ? nullptr : &*found;
}

Family read_family(const fs::path& folder, const std::string& path) {
  Family family;
  family.path = path;
  std::set<std::string> names;
  for (const std::string& file : names_in(folder / "history", fs::file_type::regular, kMostElements)) {
    if (const std::string name = without_ending(file, ".jsonl"); !name.empty()) names.insert(name);
  }
  const std::vector<std::string> nights = names_in(folder / "nights", fs::file_type::directory, kMostNights);
  if (!nights.empty()) {
    for (const std::string& file :
         names_in(folder / "nights" / nights.back() / "elements", fs::file_type::regular, 3 * kMostElements)) {
      if (const std::string name = without_ending(file, ".json"); !name.empty()) names.insert(name);
    }
  }
  for (const std::string& name : names) {
    const std::string lines = end_of_file(folder, "history/" + name + ".jsonl", kHistoryBytes);
    family.elements.push_back({name, history_in(lines), link_target(folder / "models" / name / "latest")});
  }
  family.nights = in_order({nights.begin(), nights.end()}, family);
  return family;
}

std::vector<ElementTonight> read_night(const fs::path& folder, const std::string& night) {
  std::vector<ElementTonight> elements;
  std::error_code ignored;
  // Histories name nights, too, and a name there may be anything.
  const bool is_name = night.find('/') == std::string::npos && night != "." && night != "..";
  if (!is_name || fs::symlink_status(folder / "nights" / night, ignored).type() != fs::file_type::directory)
    return elements;
  const fs::path states = folder / "nights" / night / "elements";
  for (const std::string& file : names_in(states, fs::file_type::regular, 3 * kMostElements)) {
    const std::string name = without_ending(file, ".json");
    if (name.empty()) continue;
    ElementTonight element{name, "unreadable", "", "", 0};
    try {
      const json state = parse_json_object(read_file(states / file, kLargestState), file);
      element = {name, text_in(state, "state"), text_in(state, "reason"), text_in(state, "published"),
                 list_in(state, "attempts").size()};
    } catch (const Error& error) {
      element.reason = error.what();
    }
    elements.push_back(std::move(element));
  }
  return elements;
}

}  // namespace tercet::dashboard
