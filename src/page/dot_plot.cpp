#include <algorithm>
#include <cmath>
#include <string>

#include "page/axis.hpp"
#include "page/drawing.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::page {
namespace {

constexpr double kMarkName = 14, kDotRow = 36, kAxisRoom = 36,
                 kSide = 16;  // of a mark's name, a row, the axis, both sides

struct DotScale {
  Axis axis;
  double across(double value) const { return kSide + axis.share(value) * (kWidth - 2 * kSide); }
};

DotScale scale_of(const DotPlot& plot) {
  Extent extent;
  for (const DotRow& row : plot.rows) {
    for (const double value : {row.value, row.low, row.high}) extent.take(value);
    for (const double dot : row.dots) extent.take(dot);
  }
  if (extent.any) {
    for (const DotMark& mark : plot.marks) extent.take(mark.value);
  }
  return {Axis(extent, false, true)};
}

// Their names stand one below the other, since the marks may be close.
Html names_of(const std::vector<DotMark>& marks, const DotScale& scale) {
  Html html;
  double y = 12;
  for (const DotMark& mark : marks) {
    if (is_drawable(mark.value)) {
      const double x = scale.across(mark.value);
      html += text_at(x, y, x < 60 ? "start" : x > kWidth - 60 ? "end" : "middle", mark.name);
    }
    y += kMarkName;
  }
  return html;
}

Html row_of(const DotRow& row, const std::vector<DotMark>& marks, const DotScale& scale, double y) {
  const double at = y + 24;
  Html html = line_from(kSide, at, kWidth - kSide, at, "rule");
  for (const DotMark& mark : marks) {
    if (is_drawable(mark.value))
      html += line_from(scale.across(mark.value), at - 8, scale.across(mark.value), at + 8, "mark");
  }
  if (is_drawable(row.low) && is_drawable(row.high))
    html += line_from(scale.across(row.low), at, scale.across(row.high), at, "spread");
  for (const double dot : row.dots) {
    if (!is_drawable(dot)) continue;
    html +=
        element("circle", {{"class", "faint"}, {"cx", number(scale.across(dot))}, {"cy", number(at)}, {"r", "2.5"}});
  }
  if (is_drawable(row.value)) {
    html +=
        element("circle", {{"class", "dot"}, {"cx", number(scale.across(row.value))}, {"cy", number(at)}, {"r", "4"}},
                hint(row.figure));
  }
  html += text_at(kSide, y + 14, "start", shortened(row.name, 40), "name");
  html += text_at(kWidth - kSide, y + 14, "end", row.figure);
  return element("g", {{"class", color_class(row.highlighted ? 1 : 0)}}, html);
}

Drawing drawing_of(const DotPlot& plot) {
  const DotScale scale = scale_of(plot);
  if (!scale.axis.known()) return {};
  double y = 6 + kMarkName * static_cast<double>(plot.marks.size());
  const double bottom = y + kDotRow * static_cast<double>(plot.rows.size());
  Html html = names_of(plot.marks, scale);
  for (const DotRow& row : plot.rows) {
    html += row_of(row, plot.marks, scale, y);
    y += kDotRow;
  }
  html += line_from(kSide, bottom, kWidth - kSide, bottom, "axis");
  for (const double tick : scale.axis.ticks(6)) {
    html += line_from(scale.across(tick), bottom, scale.across(tick), bottom + 4, "axis");
    html += text_at(scale.across(tick), bottom + 17, "middle", short_number(tick));
  }
  html += text_at(kWidth - kSide, bottom + kAxisRoom - 4, "end", plot.x_label);
  return {bottom + kAxisRoom, plot.x_label + " of each row", html, {}};
}

}  // namespace

Html dot_plot(const DotPlot& plot) {
  return shown(drawing_of(plot));
}

std::string svg_file(const DotPlot& plot) {
  return file_of(drawing_of(plot));
}

}  // namespace tercet::page
