#include "page/axis.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "tercet/page/chart.hpp"

namespace tercet::page {
namespace {

constexpr int kMostTicks = 50;

std::string without_zeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string printed(const char* format, double value) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

}  // namespace

void Extent::take(double value) {
  if (!is_drawable(value)) return;
  low = any ? std::min(low, value) : value;
  high = any ? std::max(high, value) : value;
  any = true;
}

Axis::Axis(Extent extent, bool wants_log, bool room) : known_(extent.any) {
  if (!extent.any) return;
  log_ = wants_log && extent.low > 0 && extent.high > 2 * extent.low;
  low_ = log_ ? std::log10(extent.low) : extent.low;
  high_ = log_ ? std::log10(extent.high) : extent.high;
  const double size = std::max({std::abs(low_), std::abs(high_), 1e-30});
  if (high_ - low_ < 1e-9 * size) {  // all the same: in the middle
    const double half = low_ == 0 ? 1 : 0.1 * size;
    low_ -= half, high_ += half;
  } else if (room) {
    const double air = 0.05 * (high_ - low_);
    low_ -= air, high_ += air;
  }
}

double Axis::share(double value) const {
  return ((log_ ? std::log10(value) : value) - low_) / (high_ - low_);
}

std::vector<double> Axis::ticks(int count) const {
  return log_ ? log_ticks(std::pow(10, low_), std::pow(10, high_), count) : linear_ticks(low_, high_, count);
}

std::vector<double> linear_ticks(double low, double high, int count) {
  if (!is_drawable(low) || !is_drawable(high) || !(high > low)) return {low};
  const double rough = (high - low) / std::max(count, 1);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power < rough) continue;
    step = factor * power;
    break;
  }
  std::vector<double> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i < kMostTicks && (first + i) * step <= high + 1e-9 * step; ++i) ticks.push_back((first + i) * step);
  if (ticks.empty()) ticks.push_back(low);
  return ticks;
}

std::vector<double> log_ticks(double low, double high, int count) {
  std::vector<double> ticks;
  const double from = std::floor(std::log10(low)), to = std::ceil(std::log10(high));
  const double every = std::max(1.0, std::ceil((to - from) / std::max(count, 1)));
  const bool short_range = to - from <= 3;
  for (double power = from; power <= to && ticks.size() < kMostTicks; power += every) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * std::pow(10.0, power);
      if ((factor == 1 || short_range) && tick >= low * 0.999 && tick <= high * 1.001) ticks.push_back(tick);
    }
  }
  if (ticks.empty()) ticks.push_back(low);
  return ticks;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (!is_drawable(value)) return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (size >= 1e12 || size < 1e-3) return printed("%.3g", value);
  if (size >= 1e9) return without_zeros(printed("%.2f", value / 1e9)) + " G";
  if (size >= 1e6) return without_zeros(printed("%.2f", value / 1e6)) + " M";
  if (size >= 1e4) return without_zeros(printed("%.1f", value / 1e3)) + " k";
  return without_zeros(printed(size >= 100 ? "%.1f" : "%.4f", value));
}

}  // namespace tercet::page
