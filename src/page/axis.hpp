// One axis of a chart: its range, and where a value lies in it.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

namespace tercet::page {

// Records can hold anything; beyond this, differences are no longer finite.
inline bool is_drawable(double value) {
  return std::abs(value) < 1e150;
}

struct Extent {
  bool any = false;
  double low = 0, high = 0;
  void take(double value);  // values that cannot be drawn are passed over
};

class Axis {
 public:
  // `wants_log` is followed where all values are positive and more than twice apart; `room`: some air around the
  // values.
  Axis(Extent extent, bool wants_log, bool room);
  bool known() const { return known_; }  // there was a value
  bool is_log() const { return log_; }
  bool holds(double value) const { return is_drawable(value) && (!log_ || value > 0); }
  double share(double value) const;  // 0 at the low end, 1 at the high end
  std::vector<double> ticks(int count) const;

 private:
  bool known_ = false, log_ = false;
  double low_ = 0, high_ = 1;  // low_ < high_; logarithms where log_
};

}  // namespace tercet::page
