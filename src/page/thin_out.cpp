// Long series as fewer of their own points.
#include <algorithm>
#include <cmath>

#include "tercet/page/chart.hpp"

namespace tercet::page {

// Of each stretch of points the first, the least, the greatest and the last are kept, in their order (M4: Jugel et al.,
// "M4: a visualization-oriented time series data aggregation", VLDB 2014), and one that breaks the line.
std::vector<Point> thinned_out(const std::vector<Point>& points, std::size_t most) {
  if (points.size() <= std::max<std::size_t>(most, 4)) return points;
  const std::size_t stretches = std::max<std::size_t>(most / 4, 1);
  std::vector<Point> kept;
  for (std::size_t s = 0; s < stretches; ++s) {
    const std::size_t begin = s * points.size() / stretches, end = (s + 1) * points.size() / stretches;
    std::vector<std::size_t> chosen = {begin, end - 1};
    std::size_t least = end, greatest = end, broken = end;
    for (std::size_t i = begin; i < end; ++i) {
      if (!std::isfinite(points[i].y)) {
        broken = i;
        continue;
      }
      if (least == end || points[i].y < points[least].y) least = i;
      if (greatest == end || points[i].y > points[greatest].y) greatest = i;
    }
    for (const std::size_t i : {least, greatest, broken}) {
      if (i != end) chosen.push_back(i);
    }
    std::sort(chosen.begin(), chosen.end());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    for (const std::size_t i : chosen) kept.push_back(points[i]);
  }
  return kept;
}

}  // namespace tercet::page
