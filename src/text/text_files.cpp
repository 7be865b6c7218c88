#include "text/text_files.hpp"

#include <set>

#include "tercet/base/error.hpp"
#include "text/decompress.hpp"
#include "text/unicode.hpp"

namespace tercet::text {
namespace fs = std::filesystem;
namespace {

using Paths = std::set<fs::path>;

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool has_wildcard(const std::string& name) {
  return name.find_first_of("*?") != std::string::npos;
}

// "*" matches any characters, "?" one. Only the last star has to be tried again: what an earlier one matches less, a
// later one can match more.
bool name_matches(std::string_view name, std::string_view pattern) {
  std::size_t at = 0, wanted = 0, star = std::string_view::npos, resumed = 0;
  while (at < name.size()) {
    const char next = wanted < pattern.size() ? pattern[wanted] : '\0';
    if (next == '*') {
      star = wanted++;
      resumed = at;
    } else if (next == '?' || (wanted < pattern.size() && next == name[at])) {
      at += next == '?' ? utf8_step(name, at).length : 1;
      ++wanted;
    } else if (star != std::string_view::npos) {
      wanted = star + 1;
      at = ++resumed;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', wanted) == std::string_view::npos;
}

void add_files_below(const fs::path& path, Paths& found) {
  if (fs::is_regular_file(path)) found.insert(path);
  if (!fs::is_directory(path)) return;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) found.insert(entry.path());
  }
}

// Follows the names of a glob from `base` on; hidden names match no wildcard.
void expand(const fs::path& base, const std::vector<std::string>& names, std::size_t index, Paths& found) {
  if (index == names.size()) return add_files_below(base, found);
  const std::string& name = names[index];
  if (!has_wildcard(name)) {
    if (fs::exists(base / name)) expand(base / name, names, index + 1, found);
    return;
  }
  const fs::path folder = base.empty() ? fs::path(".") : base;
  if (!fs::is_directory(folder)) return;
  if (name == "**") expand(base, names, index + 1, found);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_hidden(entry.path())) continue;
    const fs::path next = base / entry.path().filename();
    if (name == "**") {
      if (entry.is_directory() && !entry.is_symlink()) expand(next, names, index, found);
    } else if (name_matches(entry.path().filename().string(), name)) {
      expand(next, names, index + 1, found);
    }
  }
}

Paths find_files(const std::string& source) {
  Paths found;
  const fs::path path(source);
  if (fs::exists(path)) {
    add_files_below(path, found);
  } else if (has_wildcard(source)) {
    std::vector<std::string> names;
    for (const fs::path& part : path.relative_path()) {
      // Folders below folders below a place are just folders below it.
      if (part != "**" || names.empty() || names.back() != "**") names.push_back(part.string());
    }
    expand(path.root_path(), names, 0, found);
  }
  return found;
}

}  // namespace

TextFormat format_of(const fs::path& path) {
  TextFormat format;
  fs::path name = path.filename();
  if (name.extension() == ".gz") format.compression = TextFormat::Compression::kGzip;
  if (name.extension() == ".zst") format.compression = TextFormat::Compression::kZstd;
  if (format.compression != TextFormat::Compression::kNone) name = name.stem();
  format.json_lines = name.extension() == ".jsonl";
  return format;
}

std::vector<fs::path> list_text_files(const std::string& source) {
  Paths found;
  try {
    found = find_files(source);
  } catch (const fs::filesystem_error& error) {
    throw StoreError("cannot list the text source '" + source + "'", error.code().message());
  }
  if (found.empty()) {
    const bool folder = fs::is_directory(source);
    throw DataError("text source '" + source + "' has no files",
                    folder ? "the folder is empty" : "there is no such file or folder, and nothing matches it",
                    "give a file, a folder or a glob of local text files");
  }
  for (const fs::path& path : found) {
    if (first_invalid_utf8(path.string()) != std::string::npos) {
      throw DataError("text source '" + source + "' has a file whose name is not UTF-8", lossy_utf8(path.string()));
    }
  }
  return {found.begin(), found.end()};
}

TextContent::TextContent(const fs::path& path) : content_(MappedFile(path)) {
  const auto compression = format_of(path).compression;
  if (compression == TextFormat::Compression::kNone || view().empty()) return;
  std::string text =
      compression == TextFormat::Compression::kGzip ? decompress_gzip(view(), path) : decompress_zstd(view(), path);
  content_ = std::move(text);
}

std::string_view TextContent::view() const {
  if (const auto* mapped = std::get_if<MappedFile>(&content_)) return mapped->text();
  return std::get<std::string>(content_);
}

void require_utf8(std::string_view text, const fs::path& path, std::uint64_t offset) {
  const std::size_t bad = first_invalid_utf8(text);
  if (bad == std::string_view::npos) return;
  throw DataError("text file '" + path.string() + "' is not UTF-8",
                  "invalid byte at offset " + std::to_string(offset + bad),
                  "convert it, for example with iconv, or leave it out of the source");
}

}  // namespace tercet::text
