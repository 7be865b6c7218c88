// A run as its reports see it: read once from its folder, which may be a stranger's, still growing, or damaged.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tercet/report/results.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet {

// Counts of the trits of a layer, recorded as provenance "trits": [{name, minus, zero, plus}].
inline constexpr const char* kTritsKey = "trits";
struct TritCounts {
  std::string name;
  double minus = 0, zero = 0, plus = 0;
  double sum() const { return minus + zero + plus; }
};
nlohmann::json to_json(const std::vector<TritCounts>& counts);

struct RunView {
  std::filesystem::path folder;
  std::string name;  // of its configuration, otherwise of its folder
  RunRecord record;
  nlohmann::json status = nlohmann::json::object();  // empty: there is none
  std::optional<RunResults> results;                 // once there are final ones
  std::string config;                                // text of config.resolved.yaml; "": none
  std::vector<TritCounts> trits;
};

// Throws StoreError when the folder holds no run that can be read.
RunView view_run(const std::filesystem::path& run_folder);
// The same with records that are known already. Results of the wrong shape throw StoreError.
RunView view_run(const std::filesystem::path& run_folder, RunRecord record);

// The values of one series in the order of their steps. Where a later attempt repeated steps, its values count.
std::vector<MetricRecord> series_of(const RunRecord& run, const std::string& name);
std::vector<std::size_t> places_of(const RunRecord& run,
                                   const std::string& name);  // the same, as indices of run.metrics
std::optional<MetricRecord> last_of(const RunRecord& run, const std::string& name);

// For JSON of strangers: what is not there or of another type is "", nullopt, false or an empty list.
std::string text_in(const nlohmann::json& object, const std::string& key);
std::optional<double> number_in(const nlohmann::json& object, const std::string& key);
bool is_true_in(const nlohmann::json& object, const std::string& key);
const nlohmann::json& list_in(const nlohmann::json& object, const std::string& key);

}  // namespace tercet
