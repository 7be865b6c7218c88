// Charts as SVG, drawn for a width of 400 units, so that they can be read on a phone and stand side by side on a
// screen. Colours come from the style of the page and follow its light and dark scheme. A chart shows recorded values
// and nothing in between: a long series is thinned out to some of its own points, with the least and the greatest of
// each stretch among them.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "tercet/page/html.hpp"

namespace tercet::page {

struct Point {
  double x = 0, y = 0;
  // Drawn as a bar through the point where both are finite.
  double low = std::numeric_limits<double>::quiet_NaN(), high = std::numeric_limits<double>::quiet_NaN();
  std::string hint = {};  // shown when pointed at
};

struct Series {
  std::string name;
  std::vector<Point> points;  // x ascending; a y that is not finite breaks the line
  bool line = true, dots = false;
  std::string figures = {};  // said beside the name, e.g. "0.66 to 0.03"
};

struct XyChart {
  std::string x_label, y_label;     // with units
  std::vector<Series> series = {};  // eight colours; more of them repeat
  bool log_y = false;               // as far as all values are positive
  bool from_zero = false;           // the y axis begins at 0
};
Html xy_chart(const XyChart& chart);  // with a legend; empty when there is no finite value

// Rows with a name, a figure, and segments on a common scale: bars, shares, times.
struct Segment {
  double from = 0, to = 0;
  int color = 0;
  std::string hint = {};
};
struct Track {
  std::string name, figure;
  std::vector<Segment> segments;
};
Html tracks(const std::vector<Track>& rows, double low, double high);

// Rows with a name, a figure, and a dot on a common scale, with its spread and the single values that it stands for.
struct DotRow {
  std::string name, figure;
  double value = std::numeric_limits<double>::quiet_NaN();
  double low = std::numeric_limits<double>::quiet_NaN(), high = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> dots = {};
  bool highlighted = false;
};
struct DotMark {  // a line in every row, e.g. at 1
  double value = 0;
  std::string name;
};
struct DotPlot {
  std::string x_label;
  std::vector<DotRow> rows = {};
  std::vector<DotMark> marks = {};
};
Html dot_plot(const DotPlot& plot);  // empty when there is no finite value

// The same as files of their own, which bring the style and follow light and dark schemes too; "" where the chart is
// empty.
std::string svg_file(const XyChart& chart);
std::string svg_file(const DotPlot& plot);

Html legend(const std::vector<std::string>& names);  // colours 0, 1, ...

// At most about `most` of the points, as said above. For xy_chart, and for tests.
std::vector<Point> thinned_out(const std::vector<Point>& points, std::size_t most);
// Round values inside [low, high], at most about `count`; at least one.
std::vector<double> linear_ticks(double low, double high, int count);
std::vector<double> log_ticks(double low, double high, int count);  // 0 < low <= high
std::string short_number(double value);                             // "0.025", "12 k", "3e-05"

}  // namespace tercet::page
