// What a folder of runs holds, before anything of it is read: which folders are runs or families, and whether the files
// of a run may be read at all. A stranger may have filled the folder.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tercet::dashboard {

struct Found {  // paths below the folder, "." for itself
  std::vector<std::string> runs, families;
  bool complete = true;  // false: there is more than is looked at
};
// Six levels down: those of a family (runs/<night>/<element>) and some above it. Links are not followed.
Found find_below(const std::filesystem::path& folder);

// Why the run is not read, or "": a file that is a link out of the run, no regular file, or far too large.
std::string why_not_read(const std::filesystem::path& run);

// Changes when one of the files of the run does.
struct Stamp {
  std::array<std::int64_t, 16> values{};
  bool operator==(const Stamp&) const = default;
};
Stamp stamp_of(const std::filesystem::path& run);

// The last lines of a text file, at most about `bytes` of it; "" when it is absent or not to be read.
std::string end_of_file(const std::filesystem::path& folder, const std::string& name, std::size_t bytes);

}  // namespace tercet::dashboard
