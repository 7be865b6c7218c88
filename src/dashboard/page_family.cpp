// A family over its nights, one of its nights, and the history of one of its elements.
#include <algorithm>
#include <array>

#include "dashboard/pages.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::dashboard {

using page::element;
using page::figure_value;
using page::Html;

namespace {

constexpr std::size_t kNightsOfATable = 10;

std::string run_path(const Family& family, const std::string& night, const std::string& name) {
  return (family.path == "." ? "" : family.path + "/") + "runs/" + night + "/" + name;
}

// A link where the run of that night is still there.
Html run_link(const Family& family, const std::string& night, const std::string& name, const Listing& listing,
              const Html& content) {
  const std::string path = run_path(family, night, name);
  const bool there =
      std::any_of(listing.runs.begin(), listing.runs.end(), [&](const ListedRun& run) { return run.path == path; });
  return there ? link_to(address_of("/run", {{"path", path}}), content) : content;
}

Html element_link(const Family& family, const std::string& name) {
  return link_to(address_of("/element", {{"family", family.path}, {"name", name}}), page::shortened(name, 120));
}
Html night_link(const Family& family, const std::string& night) {
  return link_to(address_of("/night", {{"family", family.path}, {"night", night}}), page::shortened(night, 40));
}
Html family_link(const Family& family, const Listing& listing) {
  return link_to(address_of("/family", {{"path", family.path}}),
                 page::shortened(path_in_words(family.path, listing), 160));
}

// The model and target of a family in a night: its perplexity, or why there is none.
Html outcome_cell(const NightOutcome* outcome) {
  if (outcome == nullptr) return kNone;
  const Html value =
      outcome->perplexity ? figure_value("", *outcome->perplexity, with_three_digits(*outcome->perplexity)) : Html();
  return outcome->published.empty() ? badge(outcome->state) + " " + value : value;
}

Html nights_table(const Family& family, const Listing& listing) {
  const std::size_t shown = std::min(family.nights.size(), kNightsOfATable);
  std::vector<page::Column> columns = {{"element", false}};
  for (std::size_t n = 0; n < shown; ++n) columns.push_back({page::shortened(family.nights[n], 40)});
  std::vector<std::vector<Html>> rows;
  for (const FamilyElementHistory& element : family.elements) {
    std::vector<Html> row = {element_link(family, element.name)};
    for (std::size_t n = 0; n < shown; ++n) {
      const std::string& night = family.nights[n];
      row.push_back(run_link(family, night, element.name, listing, outcome_cell(element.at(night))));
    }
    rows.push_back(row);
  }
  return page::table(columns, rows);
}

struct Measure {
  const char* title;
  const char* unit;
  std::optional<double> NightOutcome::*value;
  std::string (*format)(double);
};
constexpr std::array kMeasures = {
    Measure{"Perplexity", "perplexity, packed", &NightOutcome::perplexity, with_three_digits},
    Measure{"Smaller by", "times", &NightOutcome::ratio, as_ratio},
    Measure{"Next-token accuracy", "share, packed", &NightOutcome::accuracy, in_percent},
};

// Nights as whole numbers, the oldest 1: their names stand in the hints.
page::Series over_nights(const Family& family, const FamilyElementHistory& element, const Measure& measure) {
  page::Series series{page::shortened(element.name, 60), {}, true, true, ""};
  for (std::size_t n = family.nights.size(); n-- > 0;) {
    const NightOutcome* outcome = element.at(family.nights[n]);
    if (outcome == nullptr || !(outcome->*measure.value)) continue;
    page::Point point{static_cast<double>(family.nights.size() - n), *(outcome->*measure.value)};
    point.hint = page::shortened(outcome->night, 40) + ": " + measure.format(point.y) +
                 (outcome->published.empty() ? ", " + page::shortened(outcome->state, 40) : "");
    series.points.push_back(point);
  }
  return series;
}

Html charts(const Family& family, const std::vector<const FamilyElementHistory*>& elements) {
  std::vector<Html> parts;
  for (const Measure& measure : kMeasures) {
    page::XyChart chart{"night, counted from the first", measure.unit};
    for (const FamilyElementHistory* element : elements) chart.series.push_back(over_nights(family, *element, measure));
    const Html drawn = page::xy_chart(chart);
    if (!drawn.empty()) parts.push_back(page::plot(measure.title, drawn, ""));
  }
  return parts.empty() ? Html() : page::section("history", "History", page::grid(parts));
}

Html night_links(const Family& family) {
  Html links;
  for (const std::string& night : family.nights) links += night_link(family, night) + " ";
  return page::folded("All nights", element("p", {}, links));
}

Html night_rows(const Family& family, const std::string& night, const std::vector<ElementTonight>& elements,
                const Listing& listing) {
  std::vector<std::vector<Html>> rows;
  for (const ElementTonight& tonight : elements) {
    const FamilyElementHistory* history = family.element(tonight.name);
    const NightOutcome* outcome = history == nullptr ? nullptr : history->at(night);
    const NightOutcome none;
    const NightOutcome& figures = outcome == nullptr ? none : *outcome;
    rows.push_back({element_link(family, tonight.name),
                    run_link(family, night, tonight.name, listing, badge(tonight.state)),
                    number_cell("", figures.ratio, as_ratio), number_cell("", figures.packed_bytes, in_bytes),
                    number_cell("", figures.perplexity_before, with_three_digits),
                    number_cell("", figures.perplexity, with_three_digits), std::to_string(tonight.attempts),
                    page::shortened(tonight.reason, 400)});
  }
  return page::table({{"element", false},
                      {"state", false},
                      {"smaller by"},
                      {"size"},
                      {"perplexity before"},
                      {"after"},
                      {"attempts"},
                      {"reason", false}},
                     rows);
}

Html history_table(const Family& family, const FamilyElementHistory& history, const Listing& listing) {
  std::vector<std::vector<Html>> rows;
  for (const std::string& night : family.nights) {
    const NightOutcome* outcome = history.at(night);
    if (outcome == nullptr) continue;
    const Html published = outcome->published.empty()
                               ? Html(kNone)
                               : element("code", {}, page::shortened(outcome->published, 120)) +
                                     Html(outcome->published == history.latest ? " the latest" : "");
    rows.push_back({run_link(family, night, history.name, listing, page::shortened(night, 40)), badge(outcome->state),
                    number_cell("", outcome->ratio, as_ratio), number_cell("", outcome->packed_bytes, in_bytes),
                    number_cell("", outcome->perplexity_before, with_three_digits),
                    number_cell("", outcome->perplexity, with_three_digits),
                    number_cell("", outcome->accuracy, in_percent), published, page::shortened(outcome->reason, 400)});
  }
  return page::table({{"night", false},
                      {"state", false},
                      {"smaller by"},
                      {"size"},
                      {"perplexity before"},
                      {"after"},
                      {"accuracy"},
                      {"published", false},
                      {"reason", false}},
                     rows);
}

}  // namespace

Page family_page(const Family& family, const Listing& listing) {
  const std::string name = path_in_words(family.path, listing);
  std::vector<const FamilyElementHistory*> elements;
  for (const FamilyElementHistory& element : family.elements) elements.push_back(&element);
  const Html table = page::section("nights", "Nights",
                                   page::note("Perplexity of the packed model; a number alone was accepted.") +
                                       nights_table(family, listing) + night_links(family));
  return {"Family " + name,
          {{"heading", element("h1", {}, page::shortened("Family " + name, 200))},
           {"nights", table},
           {"history", charts(family, elements)}}};
}

Page night_page(const Family& family, const std::string& night, const std::vector<ElementTonight>& elements,
                const Listing& listing) {
  const Html heading = element("h1", {}, page::shortened("Night " + night, 200)) +
                       element("p", {}, Html("of ") + family_link(family, listing));
  return {"Night " + night,
          {{"heading", heading},
           {"elements", page::section("elements", "Elements", night_rows(family, night, elements, listing))}}};
}

Page element_page(const Family& family, const FamilyElementHistory& history, const Listing& listing) {
  const Html heading = element("h1", {}, page::shortened(history.name, 200)) +
                       element("p", {}, Html("of ") + family_link(family, listing));
  return {history.name,
          {{"heading", heading},
           {"history", charts(family, {&history})},
           {"nights", page::section("nights", "Nights", history_table(family, history, listing))}}};
}

}  // namespace tercet::dashboard
