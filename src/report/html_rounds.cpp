// The rounds of the job: stages of progressive compression, and what was tried when a gate failed.
#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"
#include "tercet/report/results.hpp"

namespace tercet::sections {

using nlohmann::json;
using page::element;
using page::Html;

namespace {

constexpr std::size_t kMostRounds = 100;

std::string whole(double value) {
  return format_fixed(value, 0);
}

Html badge(const json& round, const std::string& kept) {
  const bool passed = is_true_in(round, "passed");
  Html html = element("span", {{"class", passed ? "badge good" : "badge bad"}}, passed ? "passed" : "FAIL");
  if (!kept.empty() && text_in(round, "name") == kept) html += element("b", {}, " kept");
  return html;
}

std::vector<Html> row_of(const json& round, std::size_t index, const std::string& kept) {
  const std::string key = "/rounds/list/" + std::to_string(index) + "/";
  const std::string remedy = text_in(round, "remedy"), from = text_in(round, "starts_from");
  const auto number = [&](const char* name, std::string (*format)(double)) {
    return figure(key + name, number_in(round, name), format);
  };
  return {page::shortened(text_in(round, "name"), 60),
          page::shortened(text_in(round, "format") + (remedy.empty() ? "" : ", " + remedy), 60),
          from.empty() ? "the original" : page::shortened(from, 60),
          number("packed_bytes", in_bytes),
          number("perplexity", with_three_digits),
          number("perplexity_growth", signed_percent),
          number("tokens", whole),
          number("training_seconds", format_duration),
          badge(round, kept)};
}

Html story_of(const json& round) {
  Html items;
  for (const auto& [what, key] : {std::pair("did", "did"), {"failed", "failure"}, {"then", "afterwards"}}) {
    const std::string said = text_in(round, key);
    if (!said.empty()) items += element("li", {}, std::string(what) + ": " + page::shortened(said, 2000));
  }
  if (items.empty()) return items;
  return element("p", {}, element("b", {}, page::shortened(text_in(round, "name"), 60))) + element("ul", {}, items);
}

}  // namespace

Html rounds_section(const RunView& run) {
  if (!run.record.provenance.contains(kRoundsKey)) return {};
  const json& record = run.record.provenance.at(kRoundsKey);
  const json& list = list_in(record, "list");
  std::vector<std::vector<Html>> rows;
  Html stories;
  for (std::size_t i = 0; i < std::min(list.size(), kMostRounds); ++i) {
    if (!list[i].is_object()) continue;
    rows.push_back(row_of(list[i], i, text_in(record, "kept")));
    stories += story_of(list[i]);
  }
  if (rows.empty()) return {};
  Html html;
  if (const std::string sentence = text_in(record, "sentence"); !sentence.empty())
    html += element("p", {}, page::shortened(sentence, 2000));
  html += page::table({{"round", false},
                       {"format", false},
                       {"starts from", false},
                       {"packed file"},
                       {"perplexity"},
                       {"growth"},
                       {"tokens"},
                       {"training"},
                       {"verdict", false}},
                      rows);
  return html + stories + page::note("The other parts of this page are about the round that was kept.");
}

}  // namespace tercet::sections
