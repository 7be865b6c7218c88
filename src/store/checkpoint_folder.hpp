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

// A fresh `.tmp-step-...` folder; what earlier attempts left is removed. Throws StoreError.
std::filesystem::path make_staging(const std::filesystem::path& folder, std::int64_t step);
// Makes `staged` the checkpoint of `step` and fsyncs the folder. A former one of the same step gives way in the same
// rename, or, on a file system that cannot exchange two names, by way of `former-step-...`. Throws StoreError.
void publish_staged(const std::filesystem::path& staged, const std::filesystem::path& folder, std::int64_t step);
// A job that was killed between the two renames of such a file system left only former-step-...: it gets its name back.
void bring_back_former(const std::filesystem::path& folder);
// Of the published checkpoints up to `step` removes those beyond the newest `keep`. Later ones are of another
// configuration and not ours to count. One that cannot be removed is named in a warning.
void remove_old(const std::filesystem::path& folder, std::int64_t step, int keep);
// step-... becomes bad-step-... (with a number if that is taken). Gives the new name, or "" when it cannot be renamed.
std::string set_bad_aside(const std::filesystem::path& folder, std::int64_t step);

}  // namespace tercet::store
