// <output>/history/<element>.jsonl: one line for each outcome of a night, appended and fsynced. The last line of a
// night counts. A line that was cut short or damaged is passed over with a warning: history is never a reason to stop.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "family_regression.hpp"

namespace tercet::job {

struct HistoryEntry {
  std::string night, state, reason;  // state as in ElementState
  double time = 0;                   // seconds since 1970
  ElementFigures figures;
  std::string published;  // name of the folder below models/<element>/; empty: not accepted
  bool accepted() const { return !published.empty(); }
};

// One entry for each night, in the order of the file. An absent file is an empty history. Throws StoreError when it is
// there and cannot be read.
std::vector<HistoryEntry> read_history(const std::filesystem::path& file);

// Nothing is written when the night's last line says the same already. Throws StoreError.
void append_history(const std::filesystem::path& file, const HistoryEntry& entry);

// The newest accepted run of another night.
std::optional<HistoryEntry> last_accepted(const std::vector<HistoryEntry>& history, const std::string& but_not_night);

nlohmann::json to_json(const ElementFigures& figures);
nlohmann::json to_json(const HistoryEntry& entry);

}  // namespace tercet::job
