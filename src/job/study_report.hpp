// The table of a study for people and programs: Markdown, JSON, plots, a page.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "study_outcome.hpp"
#include "study_table.hpp"
#include "tercet/config/study_config.hpp"
#include "tercet/page/html.hpp"

namespace tercet::job {

struct StudyView {
  const StudyConfig& study;
  const std::vector<StudyOutcome>& outcomes;
  const StudyTable& table;
};

// Parts of all forms.
std::vector<std::vector<std::string>> study_rows(const StudyTable& table);  // the first is the heading
std::string what_it_sets(const StudyRow& row);
std::string study_frame(const StudyConfig& study);               // what was studied, a sentence
std::vector<std::string> study_legend(const StudyTable& table);  // what each column means
std::vector<std::string> study_remarks(const StudyView& view);   // on rows and jobs

std::string study_text(const StudyView& view);  // for the terminal
std::string study_markdown(const StudyView& view);
nlohmann::json study_json(const StudyView& view);
std::string study_page(const StudyView& view);  // HTML

struct StudyPlot {
  std::string title, caption;
  std::string file, svg;  // ratios.svg, curves-1.svg, ... and its content
  page::Html html;        // the same for the page
};
std::vector<StudyPlot> study_plots(const StudyView& view);  // those that have something to show

// study.md, study.json, study.html and the plots in the output folder, each replaced atomically. Throws StoreError.
void write_study(const StudyView& view);

}  // namespace tercet::job
