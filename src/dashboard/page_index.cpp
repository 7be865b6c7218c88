// The first page: what runs now, families, and all runs.
#include <algorithm>

#include "dashboard/pages.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::dashboard {

using page::element;
using page::Html;

namespace {

constexpr std::size_t kRunsOfAPage = 250;

std::size_t count_of(const Listing& listing, const std::vector<std::string>& states) {
  return static_cast<std::size_t>(std::count_if(listing.runs.begin(), listing.runs.end(), [&](const ListedRun& run) {
    return run.read && std::find(states.begin(), states.end(), run.summary.state) != states.end();
  }));
}

Html heading(const Listing& listing, std::size_t families) {
  Html html = element("h1", {}, page::shortened(listing.folder.string(), 300));
  const auto tile = [](const char* name, std::size_t count, const std::string& more) {
    return page::Tile{name, page::figure_value("", static_cast<double>(count), std::to_string(count)), more};
  };
  std::vector<page::Tile> tiles = {
      tile("runs", listing.runs.size(), ""), tile("running", count_of(listing, {"running"}), ""),
      tile("passed", count_of(listing, {"passed"}), ""), tile("gate failed", count_of(listing, {"gate_failed"}), ""),
      tile("failed or stopped", count_of(listing, {"failed", "stopped", "unreadable"}), "")};
  if (families > 0) tiles.push_back(tile("families", families, ""));
  html += page::tiles(tiles);
  if (listing.unread > 0) html += page::note(std::to_string(listing.unread) + " runs were not read yet.");
  if (!listing.complete) html += page::note("There is more in this folder than is looked at.");
  return html;
}

Html name_of(const ListedRun& run, const Listing& listing) {
  const std::string path = page::shortened(path_in_words(run.path, listing), 160);
  Html html = link_to(address_of("/run", {{"path", run.path}}), page::shortened(run.summary.name, 80));
  if (path != run.summary.name) html += element("div", {{"class", "soft"}}, path);
  return html;
}

Html running_run(const ListedRun& run, const Listing& listing) {
  const WorkUnderWay& work = run.work;
  Html html = element("h3", {}, name_of(run, listing));
  if (work.total > 0) {
    html += element("progress", {{"value", std::to_string(std::min(work.done, work.total))},
                                 {"max", std::to_string(work.total)},
                                 {"aria-label", "progress"}});
  }
  Html facts;
  const auto fact = [&](const std::string& text) { facts += element("li", {}, page::shortened(text, 120)); };
  fact(work.what.empty() ? run.summary.sentence : work.what);
  if (work.total > 0) fact(format_count(work.done) + " of " + format_count(work.total));
  if (work.left_s) fact(format_duration(*work.left_s) + " left in this stage");
  if (run.summary.seconds) fact("for " + format_duration(*run.summary.seconds));
  if (run.summary.perplexity_after) fact("perplexity " + with_three_digits(*run.summary.perplexity_after));
  html += element("ul", {{"class", "facts"}}, facts);
  if (run.summary.silent_s && *run.summary.silent_s > kLate_s) {
    const std::string words = "no sign of life for " + format_duration(*run.summary.silent_s);
    html += element("p", {}, element("span", {{"class", "badge warn"}}, words));
  }
  return element("div", {{"class", "running"}}, html);
}

Html running_section(const Listing& listing) {
  std::vector<Html> parts;
  for (const ListedRun& run : listing.runs)
    if (run.read && run.summary.state == "running") parts.push_back(running_run(run, listing));
  return parts.empty() ? Html() : page::section("running", "Running", page::grid(parts));
}

Html families_section(const std::vector<Family>& families, const Listing& listing) {
  std::vector<std::vector<Html>> rows;
  for (const Family& family : families) {
    const std::string night = family.nights.empty() ? "" : family.nights.front();
    std::size_t accepted = 0;
    for (const FamilyElementHistory& element : family.elements) {
      const NightOutcome* outcome = element.at(night);
      if (outcome != nullptr && !outcome->published.empty()) ++accepted;
    }
    const Html last = night.empty() ? Html(kNone)
                                    : link_to(address_of("/night", {{"family", family.path}, {"night", night}}),
                                              page::shortened(night, 40));
    rows.push_back({link_to(address_of("/family", {{"path", family.path}}),
                            page::shortened(path_in_words(family.path, listing), 160)),
                    std::to_string(family.elements.size()), std::to_string(family.nights.size()), last,
                    std::to_string(accepted)});
  }
  if (rows.empty()) return {};
  return page::section(
      "families", "Families",
      page::table({{"family", false}, {"elements"}, {"nights"}, {"last night", false}, {"accepted in it"}}, rows));
}

std::vector<Html> row_of(const ListedRun& run, std::size_t place, const Listing& listing) {
  const Html chosen = element(
      "input",
      {{"type", "checkbox"}, {"name", "run"}, {"value", run.path}, {"aria-label", "compare " + run.summary.name}});
  const Html name =
      element("label", {{"class", "choice"}}, chosen) + element("div", {{"class", "named"}}, name_of(run, listing));
  if (!run.read) return {name, "not read yet"};
  const RunSummary& summary = run.summary;
  const std::string key = "/runs/" + std::to_string(place) + "/";
  Html state = badge(summary.state);
  if (state_in_words(summary) != summary.state && summary.state == "running") state += Html(" silent");
  return {name,
          state,
          number_cell(key + "ratio", summary.ratio, as_ratio),
          number_cell(key + "perplexity_before", summary.perplexity_before, with_three_digits),
          number_cell(key + "perplexity_after", summary.perplexity_after, with_three_digits),
          summary.seconds ? Html(format_duration(*summary.seconds)) : Html(kNone),
          page::shortened(summary.started, 40)};
}

Html more_runs(std::size_t from, std::size_t end, std::size_t all) {
  Html links;
  const auto link = [&](std::size_t first, const char* words) {
    links += link_to(address_of("/", {{"from", std::to_string(first)}}), words) + " ";
  };
  if (from > 0) link(from - std::min(from, kRunsOfAPage), "newer");
  if (end < all) link(end, "older");
  if (links.empty()) return links;
  return element(
      "p", {},
      Html(std::to_string(from + 1) + " to " + std::to_string(end) + " of " + std::to_string(all) + ": ") + links);
}

Html runs_section(const Listing& listing, std::size_t from) {
  if (listing.runs.empty()) {
    return page::section("runs", "Runs",
                         element("p", {{"class", "empty"}}, "There is no run here yet. `tercet compress` makes one."));
  }
  const std::size_t begin = from < listing.runs.size() ? from : 0;
  const std::size_t end = std::min(listing.runs.size(), begin + kRunsOfAPage);
  std::vector<std::vector<Html>> rows;
  for (std::size_t i = begin; i < end; ++i) rows.push_back(row_of(listing.runs[i], i, listing));
  const Html table = page::table({{"run", false},
                                  {"state", false},
                                  {"smaller by"},
                                  {"perplexity before"},
                                  {"after"},
                                  {"time"},
                                  {"started", false}},
                                 rows);
  const Html button = element("div", {{"class", "actions"}},
                              element("button", {{"type", "submit"}}, "Compare") +
                                  element("span", {{"class", "soft"}}, "two runs that are ticked"));
  const Html form = element("form", {{"action", "/compare"}, {"method", "get"}}, button + table);
  return page::section("runs", "Runs", form + more_runs(begin, end, listing.runs.size()));
}

}  // namespace

Page index_page(const Listing& listing, const std::vector<Family>& families, std::size_t from) {
  return {"Runs",
          {{"heading", heading(listing, families.size())},
           {"running", running_section(listing)},
           {"families", families_section(families, listing)},
           {"runs", runs_section(listing, from)}}};
}

}  // namespace tercet::dashboard
