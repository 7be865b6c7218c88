#include "tercet/report/html_report.hpp"

#include <array>

#include "report/html_sections.hpp"
#include "tercet/log/log.hpp"

namespace tercet {

using page::element;
using page::Html;

namespace sections {
namespace {

struct Part {
  const char* id;
  const char* title;
  Html (*make)(const RunView& run);
};

constexpr std::array kParts = {
    Part{"gates", "Gates", &gates_section},
    Part{"rounds", "Rounds", &rounds_section},
    Part{"figures", "Figures", &figures_section},
    Part{"models", "The models", &models_section},
    Part{"tasks", "Tasks", &tasks_section},
    Part{"bits", "Bits per layer", &bits_section},
    Part{"training", "Training", &training_section},
    Part{"layers", "Layers", &layers_section},
    Part{"trits", "Trits", &trits_section},
    Part{"machine", "Time and machine", &machine_section},
    Part{"data", "Data", &data_section},
    Part{"origin", "Configuration and origin", &origin_section},
};

// A record of the wrong shape spoils its own part and no other.
Html made(const Part& part, const RunView& run) {
  try {
    const Html content = part.make(run);
    return content.empty() ? content : page::section(part.id, part.title, content);
  } catch (const nlohmann::json::exception& error) {
    log::warn(std::string("report: ") + part.title + " cannot be shown: " + error.what());
    return page::section(part.id, part.title, page::note("What was recorded for this part cannot be read."));
  }
}

Html footer() {
  return element("footer", {},
                 Html("Every number is one that the run recorded. As text: ") +
                     element("code", {}, "tercet report RUN") +
                     "; exact: " + element("code", {}, "tercet report RUN --json") +
                     "; as tables: " + element("code", {}, "--csv layers") + " and " +
                     element("code", {}, "--csv metrics") + ". What each figure means: docs/report.md.");
}

}  // namespace
}  // namespace sections

Html report_heading(const RunView& run) {
  return sections::heading(run);
}

std::vector<ReportPart> report_parts(const RunView& run) {
  std::vector<ReportPart> parts;
  for (const sections::Part& part : sections::kParts) parts.push_back({part.id, part.title, sections::made(part, run)});
  return parts;
}

std::string html_report(const RunView& run) {
  Html links, sections;
  for (const ReportPart& part : report_parts(run)) {
    if (part.section.empty()) continue;
    links += element("a", {{"href", "#" + part.id}}, part.title);
    sections += part.section;
  }
  const Html head = element("header", {}, report_heading(run) + element("nav", {}, links));
  return page::document(page::shortened(run.name, 120) + " \xE2\x80\x93 Tercet",
                        head + element("main", {}, sections) + sections::footer());
}

}  // namespace tercet
