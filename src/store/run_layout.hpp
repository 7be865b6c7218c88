// The layout of run.h5 as a whole: reading it, and writing one from a record.
#pragma once

#include <filesystem>

#include "store/hdf5.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet::store {

inline constexpr const char* kRunFormat = "tercet-run";
inline constexpr std::int64_t kRunVersion = 1;

void write_provenance(hid_t file, const std::string& key, const nlohmann::json& value);
// As read_run_file(), but in this process: HDF5 loops for ever, or crashes, on some files that are damaged.
RunRecord read_run_file_here(const std::filesystem::path& path);
// Writes a whole run.h5 beside `path` and publishes it by rename. Throws StoreError; an old file stays then.
void build_run_file(const std::filesystem::path& path, const RunRecord& run);

}  // namespace tercet::store
