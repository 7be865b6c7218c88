// The record of a run: run.h5 (serial HDF5, rank 0) and journal.jsonl beside it. Every record goes to the journal
// first (one JSON line, flushed), then to run.h5 (flushed); from the journal run.h5 can be made again. While another
// thread has HDF5 to itself, run.h5 is left behind, and catches up at the next record or at the end.
// A metric keeps its unit. Layout: docs/formats.md. On ranks other than 0 all functions do nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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
  int attempt = 0;   // set by RunFile
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
  double begin_s = 0, end_s = 0;  // seconds since the attempt began
  int attempt = 0;                // set by RunFile
};

struct GateRecord {
  std::string name, verdict, severity;  // verdict: pass | fail | skipped ; severity: fail | warn | off
  double value = 0, threshold = 0;
  std::string comparison;  // ">= 6", "<= 0.1", "0.25 to 0.45"
  std::string evidence;    // a sentence
};

struct RankRecord {
  int rank = 0;
  std::string host, device;
  double peak_memory_bytes = 0, tokens_per_second = 0;
};

struct AttemptRecord {
  int attempt = 0;
  double began = 0;  // seconds since 1970
};

struct RunRecord;

class RunFile {
 public:
  // Opens <folder>/journal.jsonl and run.h5 for appending an attempt, with run.h5 made again from the journal (where
  // that was lost, the journal from run.h5). `active` is false on ranks other than 0. Throws StoreError, also when
  // another process writes this run.
  RunFile(const std::filesystem::path& folder, bool active);
  ~RunFile();
  RunFile(const RunFile&) = delete;
  RunFile& operator=(const RunFile&) = delete;

  int attempt() const;  // 1 for the first launch; 0 when not active

  // From here on `listener` is given every record once the journal has it: a RunRecord that holds nothing else. It must
  // not throw.
  void tell(std::function<void(const RunRecord& news)> listener);

  // The name is a path ("training/loss"); no part of it may be empty, ".", "step", "wall_time", "value" or "attempt".
  void metric(const MetricRecord& record);
  void layers(const std::vector<LayerRecord>& table);  // replaces the table
  void stage(const StageRecord& record);
  void gates(const std::vector<GateRecord>& table);                      // replaces the table
  void ranks(const std::vector<RankRecord>& records);                    // replaces what is known of those ranks
  void provenance(const std::string& key, const nlohmann::json& value);  // config, data, hashes, versions

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What a run file holds, for reports. Both readers give the same: metrics by name, then in the order of writing.
struct RunRecord {
  std::vector<MetricRecord> metrics;
  std::vector<double> wall_times;  // of each metric, seconds since 1970
  std::vector<LayerRecord> layers;
  std::vector<StageRecord> stages;
  std::vector<GateRecord> gates;
  std::vector<RankRecord> ranks;
  std::vector<AttemptRecord> attempts;
  nlohmann::json provenance = nlohmann::json::object();
};
void order_metrics(RunRecord& run);  // as the readers give them, for one that was put together otherwise
// In a process of its own, as HDF5 is no parser for files that others may have changed. Throws StoreError, also when
// HDF5 crashes on it or comes to no end within 60 s.
RunRecord read_run_file(const std::filesystem::path& run_h5);
RunRecord read_journal(const std::filesystem::path& journal);  // a truncated last line is dropped
// run.h5 from journal.jsonl, published by rename. Throws StoreError, also while a job is writing the run.
void rebuild_run_file(const std::filesystem::path& folder);

}  // namespace tercet
