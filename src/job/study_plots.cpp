// The plots of a study, and its page.
#include <algorithm>
#include <cmath>
#include <map>

#include "study_report.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::job {
namespace {

using page::element;
using page::Html;

constexpr std::size_t kCurves = 7;  // of one plot, besides the control's: eight colours

page::DotPlot ratios_plot(const StudyTable& table) {
  page::DotPlot plot{"ratio", {}, {{1, "original"}}};
  for (const StudyLine& line : table.lines) {
    page::DotRow row;
    row.name = line.name;
    row.highlighted = line.is_control;
    if (line.ratio) {
      row.value = line.ratio->mean;
      row.dots = line.ratio->values;
      row.figure = format_fixed(row.value, 4);
    } else {
      row.figure = "no figure";
    }
    if (line.ratio && line.ratio->deviation) {
      row.low = row.value - *line.ratio->deviation;
      row.high = row.value + *line.ratio->deviation;
    }
    if (line.is_control && line.ratio) plot.marks.push_back({row.value, "control"});
    plot.rows.push_back(row);
  }
  return plot;
}

// The mean over the seeds that were evaluated there, from the least to the greatest of them.
page::Series curve_of(const StudyView& view, std::size_t row) {
  std::map<double, std::vector<double>> at;  // tokens
  for (const StudyOutcome& outcome : view.outcomes) {
    if (outcome.row != row || !outcome.figures) continue;
    for (const auto& [tokens, perplexity] : outcome.figures->held_out) at[tokens].push_back(perplexity);
  }
  page::Series series;
  series.name = view.table.lines[row].name;
  series.dots = true;
  for (const auto& [tokens, values] : at) {
    const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
    series.points.push_back({tokens, sample_of(values)->mean, *least, *greatest, ""});
  }
  if (!series.points.empty()) series.figures = "ends at " + page::short_number(series.points.back().y);
  return series;
}

page::XyChart chart_of(const std::vector<page::Series>& series) {
  page::XyChart chart{"training tokens", "held-out perplexity", series};
  chart.log_y = true;
  return chart;
}

// Several where the rows are many; the control is in each.
std::vector<page::XyChart> curve_charts(const StudyView& view) {
  std::vector<page::Series> control, curves;
  for (std::size_t row = 0; row < view.table.lines.size(); ++row) {
    const page::Series series = curve_of(view, row);
    if (series.points.empty()) continue;
    (view.table.lines[row].is_control ? control : curves).push_back(series);
  }
  std::vector<page::XyChart> charts;
  for (std::size_t begin = 0; begin < curves.size(); begin += kCurves) {
    std::vector<page::Series> shown = control;
    const auto from = curves.begin() + static_cast<std::ptrdiff_t>(begin);
    shown.insert(shown.end(), from, from + static_cast<std::ptrdiff_t>(std::min(kCurves, curves.size() - begin)));
    charts.push_back(chart_of(shown));
  }
  if (curves.empty() && !control.empty()) charts.push_back(chart_of(control));
  return charts;
}

Html lines_as_notes(const std::vector<std::string>& lines) {
  Html html;
  for (const std::string& line : lines) html += page::note(line);
  return html;
}

// Means can be found in study.json.
Html cell(const StudyTable& table, std::size_t line, const std::string& column, const std::string& shown) {
  const std::map<std::string, std::pair<std::string, const std::optional<Sample>*>> keys = {
      {"ratio", {"ratio", &table.lines[line].ratio}},
      {"change", {"change", &table.lines[line].change}},
      {"to control", {"to_control", &table.lines[line].to_control}},
      {"KL", {"kl", &table.lines[line].kl}},
      {"agreement", {"agreement", &table.lines[line].agreement}},
      {"accuracy", {"accuracy", &table.lines[line].accuracy}},
      {"bytes", {"packed_bytes", &table.lines[line].packed_bytes}}};
  const auto found = keys.find(column);
  if (found == keys.end() || !*found->second.second) return shown;
  return page::figure_value("/rows/" + std::to_string(line) + "/" + found->second.first + "/mean",
                            (*found->second.second)->mean, shown);
}

Html main_table(const StudyTable& table) {
  const auto rows = study_rows(table);
  std::vector<page::Column> columns;
  std::vector<std::vector<Html>> cells;
  for (const std::string& name : rows[0]) columns.push_back({name, name != "row" && name != "verdict"});
  for (std::size_t line = 0; line + 1 < rows.size(); ++line) {
    cells.emplace_back();
    for (std::size_t column = 0; column < columns.size(); ++column) {
      cells.back().push_back(cell(table, line, columns[column].name, rows[line + 1][column]));
    }
  }
  return page::table(columns, cells);
}

Html settings_table(const StudyConfig& study) {
  std::vector<std::vector<Html>> cells;
  for (const StudyRow& row : study.rows) cells.push_back({row.name, what_it_sets(row)});
  return page::table({{"row", false}, {"what it sets", false}}, cells);
}

}  // namespace

std::vector<StudyPlot> study_plots(const StudyView& view) {
  std::vector<StudyPlot> plots;
  const page::DotPlot ratios = ratios_plot(view.table);
  plots.push_back({"Ratios", "Mean, standard deviation and each seed; left is better.", "ratios.svg",
                   page::svg_file(ratios), page::dot_plot(ratios)});
  int number = 0;
  for (const page::XyChart& chart : curve_charts(view)) {
    plots.push_back(
        {"Held-out perplexity while training",
         "On the windows that choose the best state, not those of the table. Mean over the seeds; bars from "
         "the least to the greatest.",
         "curves-" + std::to_string(++number) + ".svg", page::svg_file(chart), page::xy_chart(chart)});
  }
  std::erase_if(plots, [](const StudyPlot& plot) { return plot.svg.empty(); });
  return plots;
}

std::string study_page(const StudyView& view) {
  const Html head = element("header", {}, element("h1", {}, view.study.name) + page::note(study_frame(view.study)));
  Html body = page::section("table", "Rows", main_table(view.table) + lines_as_notes(study_legend(view.table)));
  std::vector<Html> figures;
  for (const StudyPlot& plot : study_plots(view)) figures.push_back(page::plot(plot.title, plot.html, plot.caption));
  if (!figures.empty()) body += page::section("plots", "Plots", page::grid(figures));
  body += page::section("settings", "What each row sets", settings_table(view.study));
  const std::vector<std::string> remarks = study_remarks(view);
  if (!remarks.empty()) body += page::section("remarks", "Remarks", lines_as_notes(remarks));
  return page::document(page::shortened(view.study.name, 120) + " \xE2\x80\x93 Tercet",
                        head + element("main", {}, body));
}

}  // namespace tercet::job
