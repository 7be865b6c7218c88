// journal.jsonl: one JSON object a line, {"t": seconds since 1970, "kind": ..., "attempt": n, ...}. Each line is
// written at once, so a killed process loses at most the line it was writing; fsync at the borders of stages.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "tercet/store/run_file.hpp"

namespace tercet::store {

class Journal {
 public:
  // Opens for appending, cutting off a last line that was not finished. Throws StoreError, also when another process
  // has the journal open.
  explicit Journal(const std::filesystem::path& path);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  void append(const nlohmann::json& line);
  void sync();

 private:
  void cut_unfinished_line();
  std::filesystem::path path_;
  int fd_ = -1;
};

// Calls `take` with each complete line, one after the other: a journal can be larger than what it says. Throws
// StoreError naming the file and line for one that is no JSON object, or that `take` refuses.
void for_each_journal_line(const std::filesystem::path& path, const std::function<void(const nlohmann::json&)>& take);

// A line for each kind of record; `t` and `attempt` are added by the caller.
nlohmann::json journal_line(const MetricRecord& record);
nlohmann::json journal_line(const StageRecord& record);
nlohmann::json journal_line(const RankRecord& record);
nlohmann::json journal_line(const std::vector<LayerRecord>& table);
nlohmann::json journal_line(const std::vector<GateRecord>& table);
nlohmann::json journal_line(const std::string& provenance_key, const nlohmann::json& value);

// Puts one line into what is known. Lines of kinds it does not know (from a later version) are passed over.
void apply_line(RunRecord& run, const nlohmann::json& line);
// The lines from which `run` follows: for a run whose journal was lost.
std::vector<nlohmann::json> lines_of(const RunRecord& run);

}  // namespace tercet::store
