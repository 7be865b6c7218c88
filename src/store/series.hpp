// A time series in run.h5: group /metrics/<name> with the 1-D datasets step, wall_time, value and attempt, and the
// attribute unit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/hdf5.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet::store {

// Throws StoreError for a name that cannot be a group of its own (run_file.hpp says which).
void require_metric_name(const std::string& name);

class Series {
 public:
  // Opens the series in `file` or makes it.
  Series(hid_t file, const std::string& name, const std::string& unit);
  // Appends records with their wall times.
  void append(const std::vector<MetricRecord>& records, const std::vector<double>& wall_times);

 private:
  void append_column(const Handle& dataset, hid_t type, const void* values, hsize_t count);
  std::string name_;
  Handle step_, wall_time_, value_, attempt_;
  hsize_t length_ = 0;
};

// Appends all series of `file` to run.metrics and run.wall_times, sorted by name.
void read_all_series(hid_t file, RunRecord& run);

}  // namespace tercet::store
