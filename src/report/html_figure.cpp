// How figures are written, the same in every part of the page.
#include <algorithm>
#include <charconv>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"

namespace tercet::sections {
namespace {

constexpr const char* kPercent = "\xC2\xA0%";  // not broken before the sign

}  // namespace

std::string result_key(const std::string& path) {
  return "/results/" + path;
}

std::string series_key(const std::string& name) {
  std::string escaped;
  for (const char c : name) escaped += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return "/series/" + escaped + "/last_value";
}

page::Html figure(const std::string& key, const std::optional<double>& value,
                  const std::function<std::string(double)>& format) {
  return value ? page::figure_value(key, *value, format(*value)) : page::Html(kNone);
}

page::Series curve(const RunView& run, const std::string& name, const std::string& title) {
  page::Series series{title, {}, true, false, ""};
  for (const MetricRecord& record : series_of(run.record, name))
    series.points.push_back({static_cast<double>(record.step), record.value});
  return series;
}

std::string in_percent(double share) {
  return format_fixed(100 * share, 2) + kPercent;
}

std::string signed_percent(double share) {
  return (share < 0 ? "" : "+") + format_fixed(100 * share, 1) + kPercent;
}

std::string as_ratio(double value) {
  return format_fixed(value, 2) + "x";
}

std::string with_three_digits(double value) {
  return format_fixed(value, 3);
}

std::string in_bytes(double bytes) {
  return bytes >= 0 && bytes < 1e18 ? format_bytes(static_cast<std::uint64_t>(bytes)) : format_fixed(bytes, 0) + " B";
}

std::optional<double> bytes_or_none(std::uint64_t bytes) {
  return bytes == 0 ? std::nullopt : std::optional(static_cast<double>(bytes));
}

std::optional<int> block_of(const std::string& tensor) {
  for (std::size_t begin = 0; begin < tensor.size();) {
    const std::size_t end = std::min(tensor.find('.', begin), tensor.size());
    int number = 0;
    const auto read = std::from_chars(tensor.data() + begin, tensor.data() + end, number);
    if (read.ec == std::errc() && read.ptr == tensor.data() + end && end > begin) return number;
    begin = end + 1;
  }
  return std::nullopt;
}

}  // namespace tercet::sections
