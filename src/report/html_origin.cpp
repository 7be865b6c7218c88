// What the run was made from: texts, configuration, program and environment.
#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"

namespace tercet::sections {

using nlohmann::json;
using page::element;
using page::Html;

namespace {

using Rows = std::vector<std::vector<Html>>;

Html counted(const json& source, std::size_t index, const char* key) {
  const auto value = number_in(source, key);
  if (!value) return kNone;
  const std::string place = "/provenance/data/" + std::to_string(index) + "/" + key;
  return page::figure_value(
      place, *value,
      *value >= 0 && *value < 1e18 ? format_count(static_cast<std::uint64_t>(*value)) : format_fixed(*value, 0));
}

// Nested objects as rows "producer.version | 0.1.0".
void add_rows(const json& value, const std::string& name, Rows& rows) {
  if (rows.size() >= kMostRows) return;
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) add_rows(item, name.empty() ? key : name + "." + key, rows);
    return;
  }
  const std::string text =
      value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
  rows.push_back({page::shortened(name, 120), page::shortened(text, 400)});
}

Html facts(const std::string& title, const json& value) {
  Rows rows;
  add_rows(value, "", rows);
  if (rows.empty()) return {};
  return element("h3", {}, title) + page::table({{"key", false}, {"value", false}}, rows);
}

Html recorded(const RunView& run, const std::string& key, const std::string& title) {
  return run.record.provenance.contains(key) ? facts(title, run.record.provenance.at(key)) : Html();
}

}  // namespace

Html data_section(const RunView& run) {
  Rows rows;
  const json& sources = list_in(run.record.provenance, "data");
  for (std::size_t i = 0; i < sources.size() && i < kMostRows; ++i) {
    const json& source = sources[i];
    rows.push_back({page::shortened(text_in(source, "path"), 300), counted(source, i, "bytes"),
                    counted(source, i, "documents"), counted(source, i, "tokens"),
                    counted(source, i, "held_out_documents"), counted(source, i, "held_out_tokens"),
                    element("code", {}, page::shortened(text_in(source, "sha256"), 12))});
  }
  if (rows.empty()) return {};
  return page::table({{"source", false},
                      {"bytes"},
                      {"documents"},
                      {"tokens"},
                      {"held-out documents"},
                      {"held-out tokens"},
                      {"SHA-256", false}},
                     rows);
}

Html origin_section(const RunView& run) {
  Html html = recorded(run, "source", "Model and program") +
              recorded(run, "environment", "Environment variables that can change numbers");
  if (!run.config.empty())
    html += page::folded("Configuration with every default filled in", element("pre", {}, run.config));
  return html;
}

}  // namespace tercet::sections
