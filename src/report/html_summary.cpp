// The top of the page: what became of the run, and why.
#include <cmath>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::sections {

using page::element;
using page::figure_value;
using page::Html;

namespace {

struct Word {
  const char* text;
  const char* look;  // class of the style sheet
};

Word word_of(const std::string& state) {
  if (state == "passed") return {"passed", "badge good"};
  if (state == "gate_failed") return {"gate failed", "badge bad"};
  if (state == "failed") return {"failed", "badge bad"};
  if (state == "stopped") return {"stopped", "badge warn"};
  if (state == "running") return {"running", "badge warn"};
  return {"state unknown", "badge"};
}

Word word_of(const GateRecord& gate) {
  if (gate.verdict == "skipped") return {"off", "badge"};
  if (gate.verdict == "pass") return {"pass", "badge good"};
  return gate.severity == "fail" ? Word{"FAIL", "badge bad"} : Word{"warning", "badge warn"};
}

Html badge(const Word& word) {
  return element("span", {{"class", word.look}}, word.text);
}

void add_results(const RunResults& results, std::vector<page::Tile>& list) {
  if (const auto ratio = results.ratio(results.baseline)) {
    list.push_back({"smaller by", figure("/metrics/compression~1ratio", ratio, as_ratio),
                    format_bytes(results.packed_bytes) + " packed, against " + results.baseline});
  }
  const auto &before = results.before, &packed = results.packed;
  if (packed.perplexity && before.perplexity) {
    list.push_back({"perplexity", figure(result_key("packed/perplexity"), packed.perplexity, with_three_digits),
                    with_three_digits(*before.perplexity) + " before, " +
                        signed_percent(*packed.perplexity / *before.perplexity - 1)});
  }
  if (packed.accuracy && before.accuracy) {
    list.push_back({"accuracy", figure(result_key("packed/accuracy"), packed.accuracy, in_percent),
                    in_percent(*before.accuracy) + " before, next token"});
  }
  if (packed.agreement) {
    list.push_back({"agreement", figure(result_key("packed/agreement"), packed.agreement, in_percent),
                    "same token as the original"});
  }
  if (const auto zeros = results.sparsity()) {
    list.push_back({"zeros", figure("/metrics/compression~1sparsity_ratio", zeros, in_percent), "of the trits"});
  }
  if (results.speed) {
    const std::string form = results.speed->form(results.speed_baseline);
    if (const auto speedup = results.speed->speedup(form)) {
      list.push_back({"faster by", figure(result_key("speed/speedup/" + form), speedup, as_ratio),
                      "decoding, against the original in " + form});
    }
  }
  list.push_back({"parameters",
                  figure(result_key("parameters"), static_cast<double>(results.parameters), page::short_number),
                  std::to_string(results.layers_quantized) + " matrices quantized"});
}

Html verdict_line(const RunView& run) {
  const std::string state = text_in(run.status, "state"), sentence = text_in(run.status, "sentence");
  Html line = badge(word_of(state));
  if (const auto code = number_in(run.status, "exit_code")) {
    line += element("span", {{"class", "soft"}}, "exit code " + format_fixed(*code, 0));
  }
  if (!sentence.empty()) line += element("span", {}, page::shortened(sentence, 2000));
  return element("div", {{"class", "verdict"}}, line);
}

}  // namespace

Html heading(const RunView& run) {
  const nlohmann::json& source =
      run.record.provenance.contains("source") ? run.record.provenance.at("source") : run.status;
  std::vector<std::string> about;
  if (const std::string model = text_in(source, "model"); !model.empty()) about.push_back(model);
  if (const std::string updated = text_in(run.status, "updated"); !updated.empty()) about.push_back(updated);
  if (run.record.attempts.size() > 1) about.push_back(std::to_string(run.record.attempts.size()) + " attempts");
  std::string line;
  for (const std::string& part : about) line += (line.empty() ? "" : " \xC2\xB7 ") + page::shortened(part, 300);
  Html html = element("h1", {}, page::shortened(run.name, 200));
  if (!line.empty()) html += element("p", {{"class", "soft"}}, line);
  html += verdict_line(run);
  std::vector<page::Tile> list;
  if (run.results) add_results(*run.results, list);
  if (const auto seconds = number_in(run.status, "seconds")) {
    list.push_back({"time", figure("/status/seconds", seconds, format_duration),
                    run.record.attempts.size() > 1 ? "of the last attempt" : "wall clock"});
  }
  return html + page::tiles(list);
}

Html gates_section(const RunView& run) {
  Html rows;
  for (std::size_t i = 0; i < run.record.gates.size(); ++i) {
    const GateRecord& gate = run.record.gates[i];
    const std::string key = "/gates/" + std::to_string(i) + "/value";
    const Html value = std::isfinite(gate.value) ? figure_value(key, gate.value, page::short_number(gate.value))
                                                 : Html("not measured");
    const Html what = element("b", {}, page::shortened(gate.name, 60)) +
                      element("span", {}, value + Html(", wants " + page::shortened(gate.comparison, 60)));
    rows += element("li", {},
                    element("div", {}, badge(word_of(gate))) + element("div", {{"class", "what"}}, what) +
                        element("p", {}, page::shortened(gate.evidence, 2000)));
  }
  return rows.empty() ? rows : element("ul", {{"class", "gates"}}, rows);
}

}  // namespace tercet::sections
