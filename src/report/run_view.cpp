#include "tercet/report/run_view.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/report.hpp"
#include "tercet/report/rounds_text.hpp"
#include "tercet/report/status.hpp"
#include "tercet/store/number_json.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr std::uintmax_t kLongestConfig = 1 << 20;
constexpr const char* kConfigFile = "config.resolved.yaml";

// A link out of the folder could put another file of the reader's into a report that is passed on.
std::string config_text(const fs::path& folder) {
  try {
    if (!fs::exists(folder / kConfigFile) || !stays_inside(folder, kConfigFile)) return "";
    return read_file(folder / kConfigFile, kLongestConfig);
  } catch (const Error& error) {
    log::warn(error.what());
    return "";
  }
}

std::string folder_name(const fs::path& folder) {
  const fs::path whole = fs::absolute(folder).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

std::string run_name(const fs::path& folder, bool has_config) {
  try {
    const std::string name = has_config ? load_job_config(folder / kConfigFile, {}).name : "";
    return name.empty() ? folder_name(folder) : name;
  } catch (const Error&) {  // of another version, or damaged: the name of the folder serves
    return folder_name(folder);
  }
}

double count_in(const json& layer, const char* key) {
  const double count = number_in(layer, key).value_or(0);
  return count >= 0 && count < 1e15 ? count : 0;
}

std::vector<TritCounts> recorded_trits(const RunRecord& run) {
  std::vector<TritCounts> counts;
  for (const json& layer : list_in(run.provenance, kTritsKey)) {
    const TritCounts one{text_in(layer, "name"), count_in(layer, "minus"), count_in(layer, "zero"),
                         count_in(layer, "plus")};
    if (one.sum() > 0) counts.push_back(one);
  }
  return counts;
}

// The records of one series; they stand together, ordered by name.
std::pair<std::vector<MetricRecord>::const_iterator, std::vector<MetricRecord>::const_iterator> range_of(
    const RunRecord& run, const std::string& name) {
  const auto before = [](const MetricRecord& record, const std::string& wanted) { return record.name < wanted; };
  const auto begin = std::lower_bound(run.metrics.begin(), run.metrics.end(), name, before);
  return {begin, std::find_if(begin, run.metrics.end(), [&](const MetricRecord& r) { return r.name != name; })};
}

}  // namespace

json to_json(const std::vector<TritCounts>& counts) {
  auto list = json::array();
  for (const TritCounts& layer : counts) {
    list.push_back({{"name", layer.name},
                    {"minus", std::llround(layer.minus)},
                    {"zero", std::llround(layer.zero)},
                    {"plus", std::llround(layer.plus)}});
  }
  return list;
}

RunView view_run(const fs::path& run_folder) {
  return view_run(run_folder, load_run(run_folder));
}

RunView view_run(const fs::path& run_folder, RunRecord record) {
  RunView view;
  view.folder = run_folder;
  view.record = std::move(record);
  take_figures_of_round(view.record);
  view.status = read_status(run_folder).value_or(json::object());
  view.config = config_text(run_folder);
  view.name = run_name(run_folder, !view.config.empty());
  view.trits = recorded_trits(view.record);
  if (view.record.provenance.contains(kResultsKey)) {
    view.results = results_from_json(view.record.provenance.at(kResultsKey));
  }
  return view;
}

std::vector<std::size_t> places_of(const RunRecord& run, const std::string& name) {
  std::vector<std::size_t> places;
  const auto [begin, end] = range_of(run, name);
  for (auto record = begin; record != end; ++record) {
    while (!places.empty() && run.metrics[places.back()].step >= record->step) places.pop_back();
    places.push_back(static_cast<std::size_t>(record - run.metrics.begin()));
  }
  return places;
}

std::vector<MetricRecord> series_of(const RunRecord& run, const std::string& name) {
  std::vector<MetricRecord> series;
  for (const std::size_t place : places_of(run, name)) series.push_back(run.metrics[place]);
  return series;
}

std::optional<MetricRecord> last_of(const RunRecord& run, const std::string& name) {
  const auto [begin, end] = range_of(run, name);
  return begin == end ? std::nullopt : std::optional(*std::prev(end));
}

std::string text_in(const json& object, const std::string& key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<double> number_in(const json& object, const std::string& key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  const bool word = *found == "nan" || *found == "inf" || *found == "-inf";
  return found->is_number() || word ? std::optional(number_from_json(*found)) : std::nullopt;
}

bool is_true_in(const json& object, const std::string& key) {
  return object.is_object() && object.contains(key) && object.at(key) == true;
}

const json& list_in(const json& object, const std::string& key) {
  static const json kNone = json::array();
  if (!object.is_object()) return kNone;
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : kNone;
}

}  // namespace tercet
