#include "store/series.hpp"

#include <algorithm>
#include <array>

#include "store/journal.hpp"
#include "tercet/base/error.hpp"

namespace tercet::store {
namespace {

constexpr hsize_t kChunkValues = 512;
constexpr std::array kReserved = {"", ".", "step", "wall_time", "value", "attempt"};
const std::string kRoot = "metrics";

Handle create_column(hid_t group, const char* name, hid_t type, const std::string& what) {
  const hsize_t none = 0, unlimited = H5S_UNLIMITED;
  const Handle space = own(H5Screate_simple(1, &none, &unlimited), H5Sclose, what);
  const Handle creation = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, what);
  check_hdf5(H5Pset_chunk(creation.get(), 1, &kChunkValues), what);
  return own(H5Dcreate2(group, name, type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Dclose, what);
}

Handle open_column(hid_t group, const char* name, const std::string& what) {
  return open_dataset(group, name, what);
}

hsize_t column_length(const Handle& dataset, const std::string& what) {
  return stored_count(dataset.get(), 1, what);
}

template <class Number>
std::vector<Number> read_column(hid_t group, const char* name, hid_t type, const std::string& what) {
  const Handle dataset = open_column(group, name, what);
  std::vector<Number> values(column_length(dataset, what));
  if (!values.empty()) {
    check_hdf5(H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), what);
  }
  return values;
}

void read_series(hid_t group, const std::string& name, RunRecord& run) {
  const std::string what = "cannot read metric '" + name + "'";
  const std::string unit = read_text_attribute(group, "unit");
  const auto steps = read_column<std::int64_t>(group, "step", H5T_NATIVE_INT64, what);
  const auto times = read_column<double>(group, "wall_time", H5T_NATIVE_DOUBLE, what);
  const auto values = read_column<double>(group, "value", H5T_NATIVE_DOUBLE, what);
  const auto attempts = read_column<std::int64_t>(group, "attempt", H5T_NATIVE_INT64, what);
  if (times.size() != steps.size() || values.size() != steps.size() || attempts.size() != steps.size()) {
    throw StoreError(what, "its columns differ in length", "rebuild the run file from its journal");
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    run.metrics.push_back({name, steps[i], values[i], unit, static_cast<int>(attempts[i])});
    run.wall_times.push_back(times[i]);
  }
}

// Walks down the groups. A file can hold a group inside itself, so the way down and the number of groups are bounded.
class Walk {
 public:
  explicit Walk(RunRecord& run) : run_(run) {}

  void read_below(hid_t group, const std::string& prefix, int depth) {
    if (depth > kDeepestName || ++groups_ > kMostGroups) {
      throw StoreError("cannot read the metrics", "their groups are nested without end, or too many");
    }
    if (H5Aexists(group, "unit") > 0) read_series(group, prefix, run_);
    for (const std::string& child : child_names(group)) {
      const Handle object = own(H5Oopen(group, child.c_str(), H5P_DEFAULT), H5Oclose, "cannot open '" + child + "'");
      if (H5Iget_type(object.get()) == H5I_GROUP) {
        read_below(object.get(), prefix.empty() ? child : prefix + "/" + child, depth + 1);
      }
    }
  }

 private:
  static constexpr int kDeepestName = 16;
  static constexpr std::size_t kMostGroups = 100'000;
  RunRecord& run_;
  std::size_t groups_ = 0;
};

}  // namespace

void require_metric_name(const std::string& name) {
  for (std::size_t begin = 0;;) {
    const std::size_t end = name.find('/', begin);
    const std::string part = name.substr(begin, end == std::string::npos ? end : end - begin);
    if (std::find(kReserved.begin(), kReserved.end(), part) != kReserved.end()) {
      throw StoreError("cannot record metric '" + name + "'", "'" + part + "' cannot be part of a metric's name");
    }
    if (end == std::string::npos) return;
    begin = end + 1;
  }
}

Series::Series(hid_t file, const std::string& name, const std::string& unit) : name_(name) {
  const std::string what = "cannot write metric '" + name + "'";
  const std::string path = kRoot + "/" + name;
  const bool exists = has_link(file, path);
  const Handle group =
      exists
          ? open_group(file, path, what)
          : own(H5Gcreate2(file, path.c_str(), intermediate_groups().get(), H5P_DEFAULT, H5P_DEFAULT), H5Gclose, what);
  if (exists && H5Aexists(group.get(), "unit") > 0) {
    step_ = open_column(group.get(), "step", what);
    wall_time_ = open_column(group.get(), "wall_time", what);
    value_ = open_column(group.get(), "value", what);
    attempt_ = open_column(group.get(), "attempt", what);
    length_ = column_length(step_, what);
    return;
  }
  step_ = create_column(group.get(), "step", H5T_STD_I64LE, what);
  wall_time_ = create_column(group.get(), "wall_time", H5T_IEEE_F64LE, what);
  value_ = create_column(group.get(), "value", H5T_IEEE_F64LE, what);
  attempt_ = create_column(group.get(), "attempt", H5T_STD_I64LE, what);
  write_text_attribute(group.get(), "unit", unit);
}

void Series::append_column(const Handle& dataset, hid_t type, const void* values, hsize_t count) {
  const std::string what = "cannot write metric '" + name_ + "'";
  const hsize_t length = length_ + count;
  check_hdf5(H5Dset_extent(dataset.get(), &length), what);
  const Handle target = own(H5Dget_space(dataset.get()), H5Sclose, what);
  check_hdf5(H5Sselect_hyperslab(target.get(), H5S_SELECT_SET, &length_, nullptr, &count, nullptr), what);
  const Handle source = own(H5Screate_simple(1, &count, nullptr), H5Sclose, what);
  check_hdf5(H5Dwrite(dataset.get(), type, source.get(), target.get(), H5P_DEFAULT, values), what);
}

void Series::append(const std::vector<MetricRecord>& records, const std::vector<double>& wall_times) {
  std::vector<std::int64_t> steps, attempts;
  std::vector<double> values;
  for (const MetricRecord& record : records) {
    steps.push_back(record.step);
    values.push_back(record.value);
    attempts.push_back(record.attempt);
  }
  const hsize_t count = records.size();
  append_column(step_, H5T_NATIVE_INT64, steps.data(), count);
  append_column(wall_time_, H5T_NATIVE_DOUBLE, wall_times.data(), count);
  append_column(value_, H5T_NATIVE_DOUBLE, values.data(), count);
  append_column(attempt_, H5T_NATIVE_INT64, attempts.data(), count);
  length_ += count;
}

void read_all_series(hid_t file, RunRecord& run) {
  if (!has_link(file, kRoot)) return;
  const Handle group = open_group(file, kRoot, "cannot read the metrics");
  Walk(run).read_below(group.get(), "", 0);
  order_metrics(run);  // a walk over groups does not sort "a/b" and "a-b" as text does
}

}  // namespace tercet::store
