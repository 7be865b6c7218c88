#include "family_history.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/status.hpp"
#include "tercet/store/number_json.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

json number_or_null(const std::optional<double>& value) {
  return value ? number_to_json(*value) : json();
}
std::optional<double> number_or_none(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(number_from_json(value));
}

HistoryEntry entry_from_json(const json& object) {
  HistoryEntry entry;
  object.at("night").get_to(entry.night);
  object.at("state").get_to(entry.state);
  object.at("reason").get_to(entry.reason);
  object.at("time").get_to(entry.time);
  object.at("published").get_to(entry.published);
  const json& figures = object.at("figures");
  entry.figures.perplexity_before = number_or_none(figures.at("perplexity_before"));
  entry.figures.perplexity = number_or_none(figures.at("perplexity"));
  entry.figures.accuracy = number_or_none(figures.at("accuracy"));
  entry.figures.ratio = number_or_none(figures.at("ratio"));
  figures.at("packed_bytes").get_to(entry.figures.packed_bytes);
  return entry;
}

std::optional<HistoryEntry> parse_entry(const std::string& line) {
  try {
    return entry_from_json(json::parse(line));
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

StoreError cannot_append(const fs::path& file) {
  return StoreError("cannot append to '" + file.string() + "'", std::strerror(errno),
                    "check free space and permissions");
}

// One write in append mode, so that lines of several drivers do not mix.
void append_line(const fs::path& file, const std::string& line) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) throw cannot_append(file);
  const bool whole = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
  const int reason = errno;
  ::close(fd);
  errno = reason;
  if (!whole) throw cannot_append(file);
}

}  // namespace

std::vector<HistoryEntry> read_history(const fs::path& file) {
  std::vector<HistoryEntry> history;
  if (!fs::exists(file)) return history;
  std::size_t number = 0;
  for (const std::string& line : lines_of(read_file(file))) {
    ++number;
    const std::optional<HistoryEntry> entry = parse_entry(line);
    if (!entry) {
      log::warn("'" + file.string() + "', line " + std::to_string(number) + " is damaged and passed over");
      continue;
    }
    std::erase_if(history, [&](const HistoryEntry& earlier) { return earlier.night == entry->night; });
    history.push_back(*entry);
  }
  return history;
}

void append_history(const fs::path& file, const HistoryEntry& entry) {
  for (const HistoryEntry& known : read_history(file)) {
    if (known.night == entry.night && known.state == entry.state && known.reason == entry.reason &&
        known.published == entry.published) {
      return;
    }
  }
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) throw StoreError("cannot make '" + file.parent_path().string() + "'", error.message());
  const bool begun = fs::exists(file) && fs::file_size(file) > 0;
  const bool cut_short = begun && read_file(file).back() != '\n';
  const std::string line = to_json(entry).dump(-1, ' ', false, json::error_handler_t::replace);
  append_line(file, (cut_short ? "\n" : "") + line + "\n");
  if (!begun) sync_path(file.parent_path());
}

std::optional<HistoryEntry> last_accepted(const std::vector<HistoryEntry>& history, const std::string& but_not_night) {
  const auto found = std::find_if(history.rbegin(), history.rend(), [&](const HistoryEntry& entry) {
    return entry.accepted() && entry.night != but_not_night;
  });
  return found == history.rend() ? std::nullopt : std::optional(*found);
}

json to_json(const ElementFigures& figures) {
  return {{"perplexity_before", number_or_null(figures.perplexity_before)},
          {"perplexity", number_or_null(figures.perplexity)},
          {"accuracy", number_or_null(figures.accuracy)},
          {"ratio", number_or_null(figures.ratio)},
          {"packed_bytes", figures.packed_bytes}};
}

json to_json(const HistoryEntry& entry) {
  return {{"night", entry.night},        {"state", entry.state},       {"reason", entry.reason},
          {"time", entry.time},          {"at", iso_time(entry.time)}, {"figures", to_json(entry.figures)},
          {"published", entry.published}};
}

}  // namespace tercet::job
