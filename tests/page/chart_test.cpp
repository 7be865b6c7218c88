#include "tercet/page/chart.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tercet::page {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::size_t count_of(const std::string& text, const std::string& word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

XyChart chart_of(std::vector<Point> points) {
  XyChart chart{"step", "loss", {}};
  chart.series.push_back({"loss", std::move(points)});
  return chart;
}

TEST(Ticks, AreRoundNumbersInsideTheRange) {
  EXPECT_EQ(linear_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(linear_ticks(-1, 1, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(log_ticks(1, 1000, 5), (std::vector<double>{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}));
  EXPECT_EQ(log_ticks(1e-6, 1e6, 5), (std::vector<double>{1e-6, 1e-3, 1, 1e3, 1e6}));
}

TEST(Ticks, ComeToAnEndForAnyRange) {
  for (const double low : {0.0, -1e149, 1e-300, 5.0, 1e17}) {
    for (const double high : {low, std::nextafter(low, kInf), low + 1e-12, low + 1, low + 1e140}) {
      const std::size_t count = linear_ticks(low, high, 5).size();
      EXPECT_TRUE(count >= 1 && count <= 50) << low << " to " << high << ": " << count;
    }
  }
  EXPECT_GE(log_ticks(1e-300, 1e149, 5).size(), 1u);
  EXPECT_LE(log_ticks(1e-300, 1e149, 5).size(), 50u);
}

TEST(ShortNumber, IsReadAtAGlance) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.025), "0.025");
  EXPECT_EQ(short_number(12.5), "12.5");
  EXPECT_EQ(short_number(488), "488");
  EXPECT_EQ(short_number(12000), "12 k");
  EXPECT_EQ(short_number(2078976), "2.08 M");
  EXPECT_EQ(short_number(3e-5), "3e-05");
  EXPECT_EQ(short_number(-1500), "-1500");
  EXPECT_EQ(short_number(kNan), "nan");
  EXPECT_EQ(short_number(-kInf), "-inf");
}

TEST(XyChart, DrawsALineThroughItsPoints) {
  // The plot area is 58 to 390 across and 24 to 202 down; five hundredths of air above and below the values.
  const std::string svg = xy_chart(chart_of({{0, 0}, {1, 1}})).markup();
  EXPECT_NE(svg.find("d=\"M58.0 193.9L390.0 32.1\""), std::string::npos) << svg;
}

TEST(XyChart, KeepsTheLastLabelInTheDrawing) {
  // Four letters of 8.4, of which half stand on the right of the middle: 400 - 16.8.
  const std::string svg = xy_chart(chart_of({{0, 0}, {1000, 1}})).markup();
  EXPECT_NE(svg.find("<text x=\"383.2\" y=\"219.0\" text-anchor=\"middle\">1000</text>"), std::string::npos) << svg;
}

TEST(XyChart, BreaksTheLineAtWhatIsNotFinite) {
  const std::string svg = xy_chart(chart_of({{0, 1}, {1, 2}, {2, kNan}, {3, kInf}, {4, 1}, {5, 2}})).markup();
  const std::size_t begin = svg.find(" d=\"");
  const std::string path = svg.substr(begin, svg.find('"', begin + 4) - begin);
  EXPECT_EQ(count_of(path, "M"), 2u) << path;
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(XyChart, OfNothingIsNothing) {
  EXPECT_TRUE(xy_chart(chart_of({})).empty());
  EXPECT_TRUE(xy_chart(chart_of({{0, kNan}, {1, kInf}})).empty());
  EXPECT_TRUE(xy_chart({"step", "loss", {}}).empty());
}

TEST(XyChart, WithstandsAnyNumbers) {
  for (const double y : {1e308, -1e308, 1e-320, 0.0, -0.0, 1e149}) {
    for (const bool log : {false, true}) {
      XyChart chart = chart_of({{-1e308, y}, {0, y}, {1e149, 1}, {9.2e18, -y}});
      chart.log_y = log;
      const std::string svg = xy_chart(chart).markup();
      EXPECT_EQ(svg.find("nan"), std::string::npos) << y;
      EXPECT_EQ(svg.find("inf"), std::string::npos) << y;
      EXPECT_LT(svg.size(), 20000u);
    }
  }
}

TEST(XyChart, TakesTheLogarithmOnlyOfPositiveValues) {
  XyChart chart = chart_of({{0, 1}, {1, 1000}});
  chart.log_y = true;
  EXPECT_NE(xy_chart(chart).markup().find("log scale"), std::string::npos);
  chart.series[0].points.push_back({2, 0});
  EXPECT_EQ(xy_chart(chart).markup().find("log scale"), std::string::npos);
}

TEST(XyChart, EscapesNamesAndHints) {
  XyChart chart{"<x>", "<y>", {}};
  chart.series.push_back({"<em>", {{0, 1, kNan, kNan, "<i>"}}, true, true, "<u>"});
  const std::string svg = xy_chart(chart).markup();
  for (const char* tag : {"<x>", "<y>", "<em>", "<i>", "<u>"}) EXPECT_EQ(svg.find(tag), std::string::npos) << tag;
  for (const char* text : {"&lt;x&gt;", "&lt;y&gt;", "&lt;em&gt;", "&lt;i&gt;", "&lt;u&gt;"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
}

TEST(ThinnedOut, KeepsOwnPointsAndTheExtremes) {
  std::vector<Point> points;
  for (int i = 0; i < 100000; ++i) points.push_back({static_cast<double>(i), std::sin(0.001 * i)});
  points[33333].y = 50;
  points[77777].y = -50;
  points[55555].y = kNan;
  const std::vector<Point> kept = thinned_out(points, 600);
  EXPECT_LE(kept.size(), 620u);
  EXPECT_GE(kept.size(), 300u);
  EXPECT_EQ(kept.front().x, 0);
  EXPECT_EQ(kept.back().x, 99999);
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(), [](const Point& a, const Point& b) { return a.x < b.x; }));
  const auto has = [&](double x) {
    return std::any_of(kept.begin(), kept.end(), [&](const Point& p) { return p.x == x; });
  };
  EXPECT_TRUE(has(33333) && has(77777) && has(55555));
  for (const Point& point : kept) {
    const double own = points[static_cast<std::size_t>(point.x)].y;
    EXPECT_TRUE(point.y == own || std::isnan(own));
  }
}

TEST(ThinnedOut, LeavesAShortSeriesAlone) {
  EXPECT_EQ(thinned_out({{0, 1}, {1, 2}, {2, 3}}, 600).size(), 3u);
  EXPECT_TRUE(thinned_out({}, 600).empty());
}

TEST(Tracks, DrawSegmentsOnOneScale) {
  const std::string svg = tracks({{"one", "1", {{0, 1, 0, ""}}}, {"two", "2", {{1, 2, 3, "hint"}}}}, 0, 2).markup();
  EXPECT_NE(svg.find("x=\"0.0\" y=\"17.0\" width=\"200.0\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("class=\"fill k3\" x=\"200.0\" y=\"50.0\" width=\"200.0\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("<title>hint</title>"), std::string::npos);
}

TEST(Tracks, ShowWhatIsTooShortToBeSeen) {
  const std::string svg = tracks({{"short", "", {{1, 1 + 1e-9, 0, ""}}}}, 0, 1).markup();
  EXPECT_NE(svg.find("x=\"398.5\" y=\"17.0\" width=\"1.5\""), std::string::npos) << svg;
}

TEST(Tracks, OfNothingAreNothing) {
  EXPECT_TRUE(tracks({}, 0, 1).empty());
  EXPECT_TRUE(tracks({{"a", "", {}}}, 0, 0).empty());
  EXPECT_TRUE(tracks({{"a", "", {}}}, 0, kNan).empty());
  EXPECT_EQ(tracks({{"a", "", {{kNan, kInf, 0, ""}}}}, 0, 1).markup().find("fill"), std::string::npos);
}

TEST(DotPlot, PutsRowsOnOneScale) {
  DotPlot plot{"ratio", {{"a", "1", 1, 0.5, 1.5, {0.5, 1.5}}, {"b", "2", 2}}, {{1, "one"}}};
  const std::string svg = dot_plot(plot).markup();
  // 0.5 to 2 with a twentieth of air: 1 lies at 16 + 368 (1 - 0.425) / 1.65.
  EXPECT_NE(svg.find("class=\"dot\" cx=\"144.2\" cy=\"44.0\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("class=\"mark\" x1=\"144.2\""), std::string::npos) << svg;
  EXPECT_EQ(count_of(svg, "class=\"mark\""), 2u) << "in each row";
  EXPECT_EQ(count_of(svg, "class=\"faint\""), 2u);
  EXPECT_EQ(count_of(svg, "class=\"spread\""), 1u);
}

TEST(DotPlot, WithstandsAnyNumbersAndNames) {
  EXPECT_TRUE(dot_plot({"x", {}, {{1, "m"}}}).empty());
  EXPECT_TRUE(dot_plot({"x", {{"a", "", kNan}}, {{1, "m"}}}).empty());
  const std::string svg = dot_plot({"<x>", {{"<a>", "<f>", kInf}, {"b", "", 1}}, {{kNan, "<m>"}}}).markup();
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  for (const char* tag : {"<x>", "<a>", "<f>", "<m>"}) EXPECT_EQ(svg.find(tag), std::string::npos) << tag;
}

TEST(SvgFile, BringsItsStyleAndItsLegend) {
  const std::string svg = svg_file(chart_of({{0, 0}, {1, 1}}));
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"")) << svg.substr(0, 80);
  EXPECT_NE(svg.find("<style>"), std::string::npos);
  EXPECT_EQ(svg.find("<ul"), std::string::npos);
  EXPECT_EQ(count_of(svg, "<svg"), 1u);
  EXPECT_EQ(svg_file(chart_of({})), "");
  EXPECT_EQ(svg_file(DotPlot{}), "");
}

}  // namespace
}  // namespace tercet::page
