// What charts are drawn of: shapes in a picture 400 units wide, and the two forms that a picture takes, inside a page
// and as a file.
#pragma once

#include <string>
#include <vector>

#include "tercet/page/html.hpp"

namespace tercet::page {

constexpr double kWidth = 400;

std::string number(double value);            // a coordinate
std::string color_class(std::size_t index);  // "k0" to "k7", then again
Html text_at(double x, double y, const char* anchor, const std::string& text, const char* kind = "");
Html line_from(double x1, double y1, double x2, double y2, const char* kind);
Html hint(const std::string& text);  // shown when pointed at
Html picture(double height, const std::string& label, const Html& content);

struct LegendEntry {
  std::string name, figures, color;  // color: of color_class
};
Html legend_list(const std::vector<LegendEntry>& entries);

struct Drawing {
  double height = 0;
  std::string label;  // read aloud
  Html content;       // empty: there is nothing to draw
  std::vector<LegendEntry> legend;
};
Html shown(const Drawing& drawing);           // in a page, which brings the style; the legend below as a list
std::string file_of(const Drawing& drawing);  // an SVG file, legend and style inside; "": there is nothing to draw

}  // namespace tercet::page
