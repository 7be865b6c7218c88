#include <algorithm>
#include <cmath>

#include "log/console.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"

namespace tercet::log {
namespace {

constexpr double kRedrawInterval = 0.2;  // seconds; faster than this nobody reads

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string format_rate(double rate, const std::string& unit) {
  const bool whole = rate >= 100.0;
  return (whole ? format_count(static_cast<std::uint64_t>(std::llround(rate))) : format_fixed(rate, 1)) + " " + unit +
         "/s";
}

}  // namespace

namespace console {

std::string fit_to_width(std::string_view line, std::size_t width) {
  std::size_t columns = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool starts_code_point = (static_cast<unsigned char>(line[i]) & 0xC0) != 0x80;
    if (starts_code_point && ++columns >= width) return std::string(line.substr(0, i));
  }
  return std::string(line);
}

}  // namespace console

Progress::Progress(std::string stage, std::uint64_t total, std::string unit)
    : stage_(std::move(stage)),
      phase_(stage_),
      total_(total),
      unit_(std::move(unit)),
      live_(console::is_root() && console::is_live_terminal()),
      start_(Clock::now()),
      drawn_(start_),
      logged_(start_) {}

Progress::~Progress() {
  if (!console::is_root()) return;
  try {
    if (live_) console::clear_live();
    const double seconds = seconds_between(start_, Clock::now());
    const std::string count = format_count(done_) + (done_ < total_ ? " of " + format_count(total_) : "");
    const std::string rate =
        seconds > 0 ? " (" + format_rate(static_cast<double>(done_) / seconds, unit_) + ")" : std::string();
    info(stage_ + ": " + count + " " + unit_ + " in " + format_duration(seconds) + rate);
  } catch (...) {  // out of memory while speaking: nothing sensible is left to say
  }
}

void Progress::update(std::uint64_t done, std::string_view suffix) {
  done_ = done;
  phase_.at(done, total_);
  if (!console::is_root()) return;
  const Clock::time_point now = Clock::now();
  const double seconds = seconds_between(start_, now);
  if (live_ && (drawn_ == start_ || seconds_between(drawn_, now) >= kRedrawInterval)) {
    drawn_ = now;
    console::draw_live(line(suffix, seconds));
  } else if (!live_ && seconds_between(logged_, now) >= console::line_interval_s()) {
    logged_ = now;
    info(line(suffix, seconds));
  }
}

std::string Progress::line(std::string_view suffix, double seconds) const {
  std::string text = stage_ + ": ";
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0.0;
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    text += format_fixed(std::floor(100.0 * share), 0) + "%  " + format_count(done_) + "/" + format_count(total_);
  } else {
    text += format_count(done_);
  }
  text += " " + unit_;
  if (rate > 0) text += "  " + format_rate(rate, unit_);
  if (rate > 0 && done_ < total_) {
    text += "  " + format_duration(static_cast<double>(total_ - done_) / rate) + " left";
  }
  if (!suffix.empty()) text += "  " + std::string(suffix);
  return text;
}

}  // namespace tercet::log
