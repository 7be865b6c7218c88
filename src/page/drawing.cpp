#include "page/drawing.hpp"

#include <cstdio>

#include "page/style.hpp"

namespace tercet::page {
namespace {

constexpr std::size_t kColors = 8;
constexpr double kEntry = 17;  // height of a legend entry in a file

// A picture in a file has no page around it to hold a list.
Html drawn_legend(const std::vector<LegendEntry>& entries, double y) {
  Html html;
  for (const LegendEntry& entry : entries) {
    html += element("rect", {{"class", "fill " + entry.color},
                             {"x", "2"},
                             {"y", number(y - 9)},
                             {"width", "10"},
                             {"height", "10"},
                             {"rx", "3"}});
    html += text_at(18, y, "start", entry.name, "name");
    if (!entry.figures.empty()) html += text_at(kWidth - 2, y, "end", entry.figures);
    y += kEntry;
  }
  return html;
}

}  // namespace

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string color_class(std::size_t index) {
  return "k" + std::to_string(index % kColors);
}

Html text_at(double x, double y, const char* anchor, const std::string& text, const char* kind) {
  Attributes attributes = {{"x", number(x)}, {"y", number(y)}, {"text-anchor", anchor}};
  if (*kind != '\0') attributes.emplace_back("class", kind);
  return element("text", attributes, text);
}

Html line_from(double x1, double y1, double x2, double y2, const char* kind) {
  return element("line",
                 {{"class", kind}, {"x1", number(x1)}, {"y1", number(y1)}, {"x2", number(x2)}, {"y2", number(y2)}});
}

Html hint(const std::string& text) {
  return text.empty() ? Html() : element("title", {}, text);
}

Html picture(double height, const std::string& label, const Html& content) {
  return element("svg", {{"viewBox", "0 0 400 " + number(height)}, {"role", "img"}, {"aria-label", label}}, content);
}

Html legend_list(const std::vector<LegendEntry>& entries) {
  Html rows;
  for (const LegendEntry& entry : entries) {
    Html row = element("i", {{"class", entry.color}}) + element("b", {}, entry.name);
    if (!entry.figures.empty()) row += element("span", {}, entry.figures);
    rows += element("li", {}, row);
  }
  return element("ul", {{"class", "legend"}}, rows);
}

Html shown(const Drawing& drawing) {
  if (drawing.content.empty()) return {};
  const Html drawn = picture(drawing.height, drawing.label, drawing.content);
  return drawing.legend.empty() ? drawn : drawn + legend_list(drawing.legend);
}

std::string file_of(const Drawing& drawing) {
  if (drawing.content.empty()) return "";
  const double legend = kEntry * static_cast<double>(drawing.legend.size());
  const double height = drawing.height + (legend > 0 ? legend + 8 : 0);
  const Html inside = element("style", {}, kStyle) +
                      element("rect", {{"width", "400"}, {"height", number(height)}, {"style", "fill: var(--card)"}}) +
                      drawing.content + drawn_legend(drawing.legend, drawing.height + 15);
  return element("svg",
                 {{"xmlns", "http://www.w3.org/2000/svg"},
                  {"viewBox", "0 0 400 " + number(height)},
                  {"width", "640"},
                  {"role", "img"},
                  {"aria-label", drawing.label}},
                 inside)
             .markup() +
         "\n";
}

}  // namespace tercet::page
