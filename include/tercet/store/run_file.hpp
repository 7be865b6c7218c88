// The record of a run: run.h5 (serial HDF5, rank 0) and journal.jsonl beside it. Every record goes to the journal
// first (one JSON line, flushed), then to run.h5 (flushed); from the journal run.h5 can be made again.
// Layout: docs/formats.md. On ranks other than 0 all functions do nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tercet {

struct MetricRecord {
  std::string name;  // e.g. "training/loss"
  std::int64_t step = 0;
  double value = 0;
  std::string unit;  // "nats", "tokens/s", "1"
};

struct LayerRecord {  // one row of the per-layer table
  std::string name, role, format;
  std::int64_t rows = 0, columns = 0, group_size = 0;
  double bits_per_weight = 0, scale_min = 0, scale_mean = 0, scale_max = 0, sparsity = 0;
  double relative_error = 0;           // ||W - Q||_F / ||W||_F
  double weighted_relative_error = 0;  // the same with columns weighted by the inputs' mean square
};

struct StageRecord {
  std::string name;
  double begin_s = 0, end_s = 0;
};  // seconds since the attempt began

struct GateRecord {
  std::string name, verdict, severity;  // verdict: pass | fail | skipped ; severity: fail | warn | off
  double value = 0, threshold = 0;
  std::string comparison;  // ">=", "<=", "in"
  std::string evidence;    // a sentence
};

struct RankRecord {
  int rank = 0;
  std::string host, device;
  double peak_memory_bytes = 0, tokens_per_second = 0;
};

class RunFile {
 public:
  // Opens <folder>/journal.jsonl and run.h5 for appending an attempt (making run.h5 again from the journal if it is
  // damaged). `active` is false on ranks other than 0.
  RunFile(const std::filesystem::path& folder, bool active);
  ~RunFile();
  RunFile(const RunFile&) = delete;
  RunFile& operator=(const RunFile&) = delete;

  void metric(const MetricRecord& record);
  void layers(const std::vector<LayerRecord>& table);  // replaces the table
  void stage(const StageRecord& record);
  void gates(const std::vector<GateRecord>& table);  // replaces the table
  void rank(const RankRecord& record);
  void provenance(const std::string& key, const nlohmann::json& value);  // config, data, hashes, versions

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What a run file holds, for reports. Throws StoreError.
struct RunRecord {
  std::vector<MetricRecord> metrics;
  std::vector<double> wall_times;  // of each metric, seconds since 1970
  std::vector<LayerRecord> layers;
  std::vector<StageRecord> stages;
  std::vector<GateRecord> gates;
  std::vector<RankRecord> ranks;
  nlohmann::json provenance;
};
RunRecord read_run_file(const std::filesystem::path& run_h5);
RunRecord read_journal(const std::filesystem::path& journal);  // a truncated last line is dropped
void rebuild_run_file(const std::filesystem::path& folder);    // run.h5 from journal.jsonl, published by rename

}  // namespace tercet
