#include "tercet/page/chart.hpp"

#include <algorithm>
#include <cmath>

#include "page/axis.hpp"
#include "page/drawing.hpp"

namespace tercet::page {
namespace {

constexpr double kHeight = 236;
constexpr double kLeft = 58, kRight = 10, kTop = 24, kBottom = 34;
constexpr double kLetter = 8.4;  // the width of a letter in the widest common font, at the size that phones get
constexpr std::size_t kMostPoints = 600;

// Where values lie in the picture.
struct Frame {
  Axis x, y;
  double across(double value) const { return kLeft + x.share(value) * (kWidth - kLeft - kRight); }
  double down(double value) const { return kHeight - kBottom - y.share(value) * (kHeight - kTop - kBottom); }
  bool holds(const Point& point) const { return is_drawable(point.x) && y.holds(point.y); }
};

Frame frame_of(const XyChart& chart) {
  Extent x, y;
  for (const Series& series : chart.series) {
    for (const Point& point : series.points) {
      if (!is_drawable(point.x) || !is_drawable(point.y)) continue;
      x.take(point.x);
      for (const double value : {point.y, point.low, point.high}) y.take(value);
    }
  }
  if (chart.from_zero) y.take(0);
  return {Axis(x, false, false), Axis(y, chart.log_y, !chart.from_zero)};
}

Html rules(const Frame& frame, const XyChart& chart) {
  Html html;
  for (const double tick : frame.y.ticks(5)) {
    const double at = frame.down(tick);
    html += line_from(kLeft, at, kWidth - kRight, at, "rule");
    html += text_at(kLeft - 6, at + 4, "end", short_number(tick));
  }
  const double bottom = kHeight - kBottom;
  for (const double tick : frame.x.ticks(6)) {
    const std::string label = short_number(tick);
    const double furthest = kWidth - 0.5 * kLetter * static_cast<double>(label.size());
    html += line_from(frame.across(tick), bottom, frame.across(tick), bottom + 4, "axis");
    html += text_at(std::min(frame.across(tick), furthest), bottom + 17, "middle", label);
  }
  html += line_from(kLeft, bottom, kWidth - kRight, bottom, "axis");
  html += text_at(2, 12, "start", chart.y_label + (frame.y.is_log() ? " (log scale)" : ""));
  return html + text_at(kWidth - kRight, kHeight - 3, "end", chart.x_label);
}

Html path_of(const Frame& frame, const std::vector<Point>& points) {
  std::string path;
  bool drawing = false;
  for (const Point& point : points) {
    const bool there = frame.holds(point);
    if (there) path += (drawing ? "L" : "M") + number(frame.across(point.x)) + " " + number(frame.down(point.y));
    drawing = there;
  }
  return path.empty() ? Html() : element("path", {{"class", "stroke"}, {"d", path}});
}

Html dots_of(const Frame& frame, const std::vector<Point>& points) {
  Html html;
  const std::string radius = points.size() > 60 ? "2" : "3";
  for (const Point& point : points) {
    if (!frame.holds(point)) continue;
    const double x = frame.across(point.x);
    if (frame.y.holds(point.low) && frame.y.holds(point.high))
      html += line_from(x, frame.down(point.low), x, frame.down(point.high), "span");
    html += element("circle", {{"class", "dot"}, {"cx", number(x)}, {"cy", number(frame.down(point.y))}, {"r", radius}},
                    hint(point.hint));
  }
  return html;
}

Html drawn(const Frame& frame, const Series& series, std::size_t color) {
  const std::vector<Point> points = thinned_out(series.points, kMostPoints);
  // One point alone makes no line.
  const bool dots = series.dots || series.points.size() == 1;
  Html html = hint(series.name);
  if (series.line) html += path_of(frame, points);
  if (dots) html += dots_of(frame, points);
  return element("g", {{"class", color_class(color)}}, html);
}

// The parts of one row of tracks.
Html segments_of(const Track& row, double low, double high, double y) {
  Html html;
  const double span = high - low;
  for (const Segment& segment : row.segments) {
    if (!is_drawable(segment.from) || !is_drawable(segment.to)) continue;
    const double from = std::clamp((segment.from - low) / span, 0.0, 1.0) * kWidth;
    const double to = std::clamp((segment.to - low) / span, 0.0, 1.0) * kWidth;
    if (to < from) continue;
    // What is too short to be seen is drawn at the least width that can be.
    const double width = std::max(to - from, 1.5), begin = std::min(from, kWidth - width);
    html += element("rect",
                    {{"class", "fill k" + std::to_string(segment.color)},
                     {"x", number(begin)},
                     {"y", number(y)},
                     {"width", number(width)},
                     {"height", "9"}},
                    hint(segment.hint));
  }
  return html;
}

Drawing drawing_of(const XyChart& chart) {
  const Frame frame = frame_of(chart);
  if (!frame.x.known() || !frame.y.known()) return {};
  Drawing drawing{kHeight, chart.y_label + " over " + chart.x_label, rules(frame, chart), {}};
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    drawing.content += drawn(frame, chart.series[i], i);
    drawing.legend.push_back({chart.series[i].name, chart.series[i].figures, color_class(i)});
  }
  return drawing;
}

}  // namespace

Html xy_chart(const XyChart& chart) {
  return shown(drawing_of(chart));
}

std::string svg_file(const XyChart& chart) {
  return file_of(drawing_of(chart));
}

Html tracks(const std::vector<Track>& rows, double low, double high) {
  if (rows.empty() || !is_drawable(low) || !is_drawable(high) || !(high > low)) return {};
  constexpr double kRow = 33;
  constexpr auto kRoom = static_cast<std::size_t>(kWidth / kLetter);  // letters of a row
  Html html;
  double y = 0;
  for (const Track& row : rows) {
    const std::string figure = shortened(row.figure, kRoom - 10);
    html += text_at(0, y + 12, "start", shortened(row.name, kRoom - std::min(kRoom - 8, figure.size())), "name");
    html += text_at(kWidth, y + 12, "end", figure);
    html += element("rect", {{"class", "track"}, {"x", "0"}, {"y", number(y + 17)}, {"width", "400"}, {"height", "9"}});
    html += segments_of(row, low, high, y + 17);
    y += kRow;
  }
  return picture(y, "bars", html);
}

Html legend(const std::vector<std::string>& names) {
  std::vector<LegendEntry> entries;
  for (std::size_t i = 0; i < names.size(); ++i) entries.push_back({names[i], "", color_class(i)});
  return legend_list(entries);
}

}  // namespace tercet::page
