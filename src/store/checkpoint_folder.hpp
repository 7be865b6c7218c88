// Names inside a checkpoint folder, and the file operations that rank 0 does there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tercet::store {

std::string step_name(std::int64_t step);                                        // "step-00000400"
std::optional<std::int64_t> step_of(const std::string& name);                    // of a published name only
std::vector<std::int64_t> published_steps(const std::filesystem::path& folder);  // newest first; none if it is absent

// A fresh `.tmp-step-...` folder; those of earlier attempts are removed. Throws StoreError.
std::filesystem::path make_staging(const std::filesystem::path& folder, std::int64_t step);
// Makes `staged` the checkpoint of `step` (a former one of the same step gives way) and fsyncs the folder.
void publish_staged(const std::filesystem::path& staged, const std::filesystem::path& folder, std::int64_t step);
// Removes published checkpoints beyond the newest `keep`. One that cannot be removed is named in a warning.
void remove_old(const std::filesystem::path& folder, int keep);
// step-... becomes bad-step-... (with a number if that is taken). Gives the new name, or "" when it cannot be renamed.
std::string set_bad_aside(const std::filesystem::path& folder, std::int64_t step);

}  // namespace tercet::store
