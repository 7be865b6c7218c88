// Whole compressed files in memory.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace tercet::text {

// All members or frames of the file, one after the other. `path` names it in errors. Throws DataError.
std::string decompress_gzip(std::string_view compressed, const std::filesystem::path& path);
std::string decompress_zstd(std::string_view compressed, const std::filesystem::path& path);

}  // namespace tercet::text
