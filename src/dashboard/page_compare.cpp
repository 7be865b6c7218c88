// Two runs side by side.
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "dashboard/pages.hpp"
#include "dashboard/settings_text.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::dashboard {

using nlohmann::json;
using page::element;
using page::figure_value;
using page::Html;

namespace {

using Format = std::string (*)(double);
using Figure = std::function<std::optional<double>(const RunLook&)>;
constexpr std::size_t kMostChoices = 500;
constexpr std::size_t kMostRows = 500;

struct Row {
  const char* name;
  Format format;
  Figure figure;
};

Figure last(const char* series) {
  return [series](const RunLook& run) {
    const auto record = last_of(run.view.record, series);
    return record ? std::optional(record->value) : std::nullopt;
  };
}

Figure of_results(std::optional<double> (*figure)(const RunResults&)) {
  return [figure](const RunLook& run) { return run.view.results ? figure(*run.view.results) : std::nullopt; };
}

std::vector<Row> rows_of_figures() {
  return {{"smaller by", as_ratio, of_results([](const RunResults& r) { return r.ratio(r.baseline); })},
          {"packed bytes", in_bytes,
           of_results([](const RunResults& r) { return std::optional(static_cast<double>(r.packed_bytes)); })},
          {"perplexity before", with_three_digits, last("evaluation/before/perplexity")},
          {"perplexity, quantized", with_three_digits, last("evaluation/quantized/perplexity")},
          {"perplexity, tuned by block", with_three_digits, last("evaluation/tuned by block/perplexity")},
          {"perplexity, packed", with_three_digits, last("evaluation/packed/perplexity")},
          {"next-token accuracy before", in_percent, last("evaluation/before/top1_accuracy")},
          {"next-token accuracy, packed", in_percent, last("evaluation/packed/top1_accuracy")},
          {"agreement with the original", in_percent, last("evaluation/packed/top1_agreement")},
          {"zeros", in_percent, of_results([](const RunResults& r) { return r.sparsity(); })},
          {"loss", with_three_digits, last("training/loss")},
          {"held-out perplexity", with_three_digits, last("training/held_out_perplexity")},
          {"tokens/s", whole, last("training/tokens_per_second")},
          {"time", format_duration, [](const RunLook& run) { return run.glance.seconds; }}};
}

Html cell(const std::optional<double>& value, Format format) {
  return value ? figure_value("", *value, format(*value)) : Html(kNone);
}

// By how much b is more than a.
std::string change(const std::optional<double>& a, const std::optional<double>& b) {
  if (!a || !b || !std::isfinite(*a) || !std::isfinite(*b) || *a == 0) return "";
  const double share = *b / *a - 1;
  return (share < 0 ? "" : "+") + format_fixed(100 * share, 2) + " %";
}

std::string title_of(const RunLook& run) {
  return page::shortened(run.view.name, 60) +
         (run.path == run.view.name ? "" : " (" + page::shortened(run.path, 80) + ")");
}

// In lines where there is no room: a phone should have both runs in sight.
Html date_of(const RunLook& run) {
  return element("span", {{"class", "date"}}, page::shortened(run.glance.started, 40));
}

Html figures(const RunLook& a, const RunLook& b) {
  std::vector<std::vector<Html>> rows = {{"state", badge(a.glance.state), badge(b.glance.state), ""},
                                         {"started", date_of(a), date_of(b), ""}};
  for (const Row& row : rows_of_figures()) {
    const auto first = row.figure(a), second = row.figure(b);
    if (first || second)
      rows.push_back({row.name, cell(first, row.format), cell(second, row.format), change(first, second)});
  }
  return page::section("figures", "Figures",
                       page::table({{"", false}, {title_of(a)}, {title_of(b)}, {"second against first"}}, rows));
}

std::string gate_text(const RunLook& run, const std::string& name) {
  for (const GateRecord& gate : run.glance.gates)
    if (gate.name == name)
      return gate_in_words(run.glance, gate) + (std::isfinite(gate.value) ? ", " + page::short_number(gate.value) : "");
  return kNone;
}

Html gates(const RunLook& a, const RunLook& b) {
  std::vector<std::vector<Html>> rows;
  std::set<std::string> done;
  for (const RunLook* run : {&a, &b}) {
    for (const GateRecord& gate : run->glance.gates) {
      if (!done.insert(gate.name).second || rows.size() == kMostRows) continue;
      rows.push_back({page::shortened(gate.name, 60), page::shortened(gate_text(a, gate.name), 80),
                      page::shortened(gate_text(b, gate.name), 80)});
    }
  }
  if (rows.empty()) return {};
  return page::section("gates", "Gates",
                       page::table({{"gate", false}, {title_of(a), false}, {title_of(b), false}}, rows));
}

// Figures of runs on different texts do not compare.
std::string texts_of(const RunLook& run) {
  const auto data = run.view.record.provenance.find("data");
  std::string hashes;
  if (data == run.view.record.provenance.end() || !data->is_array()) return hashes;
  for (const json& source : *data) hashes += text_in(source, "sha256") + " ";
  return hashes;
}

Html settings(const RunLook& a, const RunLook& b) {
  const auto first = settings_in(a.view.config), second = settings_in(b.view.config);
  std::set<std::string> keys;
  for (const auto* settings : {&first, &second})
    for (const auto& [key, value] : *settings) keys.insert(key);
  const auto value_in = [](const std::map<std::string, std::string>& settings, const std::string& key) {
    const auto found = settings.find(key);
    return found == settings.end() ? kNone : page::shortened(found->second, 300);
  };
  std::vector<std::vector<Html>> rows;
  for (const std::string& key : keys) {
    const std::string left = value_in(first, key), right = value_in(second, key);
    if (left != right && rows.size() < kMostRows)
      rows.push_back({element("code", {}, page::shortened(key, 120)), left, right});
  }
  Html content;
  const std::string texts = texts_of(a), others = texts_of(b);
  if (!texts.empty() && !others.empty() && texts != others)
    content +=
        element("p", {}, element("span", {{"class", "badge warn"}}, "other texts") + " Perplexities do not compare.");
  content += rows.empty() ? page::note("The configurations are the same, as far as they are known.")
                          : page::table({{"setting", false}, {title_of(a), false}, {title_of(b), false}}, rows);
  return page::section("settings", "What differs", content);
}

page::Series curve(const RunLook& run, const std::string& name) {
  page::Series series{title_of(run), {}, true, false, ""};
  for (const MetricRecord& record : series_of(run.view.record, name))
    series.points.push_back({static_cast<double>(record.step), record.value});
  series.dots = series.points.size() < 40;
  return series;
}

void add_curves(std::vector<Html>& parts, const RunLook& a, const RunLook& b, const std::string& name,
                const std::string& title, const std::string& x, const std::string& y) {
  const Html chart = page::xy_chart({x, y, {curve(a, name), curve(b, name)}});
  if (!chart.empty()) parts.push_back(page::plot(title, chart, ""));
}

page::Series errors(const RunLook& run) {
  page::Series series{title_of(run), {}, true, true, ""};
  double place = 0;
  for (const LayerRecord& layer : run.view.record.layers) {
    page::Point point{place++, layer.relative_error};
    point.hint = page::shortened(layer.name, 120) + ": " + page::short_number(point.y);
    series.points.push_back(point);
  }
  return series;
}

Html curves(const RunLook& a, const RunLook& b) {
  std::vector<Html> parts;
  add_curves(parts, a, b, "training/loss", "Loss", "step", "nats per token");
  add_curves(parts, a, b, "training/held_out_perplexity", "Held-out perplexity", "step", "perplexity");
  add_curves(parts, a, b, "blockwise/error_after", "Blocks after tuning", "block", "relative error");
  add_curves(parts, a, b, "training/tokens_per_second", "Throughput", "step", "tokens/s");
  const Html layers = page::xy_chart({"layer, in the order of the table", "relative error", {errors(a), errors(b)}});
  if (!layers.empty()) parts.push_back(page::plot("Relative error of the layers", layers, ""));
  return parts.empty() ? Html() : page::section("curves", "Curves", page::grid(parts));
}

Html choice(const Listing& listing, const std::string& label, const std::string& chosen) {
  Html options;
  std::size_t count = 0;
  for (const ListedRun& run : listing.runs) {
    if (count++ == kMostChoices && run.path != chosen) continue;
    page::Attributes attributes = {{"value", run.path}};
    if (run.path == chosen) attributes.emplace_back("selected", "selected");
    options += element("option", attributes, page::shortened(path_in_words(run.path, listing), 120));
  }
  return element("select", {{"name", "run"}, {"aria-label", label}}, options);
}

Html chooser(const Listing& listing, const std::string& first, const std::string& second) {
  return element("form", {{"action", "/compare"}, {"method", "get"}},
                 element("div", {{"class", "actions"}},
                         choice(listing, "first run", first) + choice(listing, "second run", second) +
                             element("button", {{"type", "submit"}}, "Compare")));
}

}  // namespace

Page compare_page(const Listing& listing, const std::vector<std::shared_ptr<const RunLook>>& runs) {
  const std::string first = runs.empty() ? "" : runs[0]->path, second = runs.size() < 2 ? "" : runs[1]->path;
  Page page{"Two runs",
            {{"heading", element("h1", {}, "Two runs") + chooser(listing, first, second)},
             {"figures", {}},
             {"gates", {}},
             {"settings", {}},
             {"curves", {}}}};
  if (runs.size() < 2) return page;
  const RunLook &a = *runs[0], &b = *runs[1];
  page.parts[0].content += element("p", {},
                                   link_to(address_of("/run", {{"path", a.path}}), title_of(a)) + " and " +
                                       link_to(address_of("/run", {{"path", b.path}}), title_of(b)));
  page.parts[1].content = figures(a, b);
  page.parts[2].content = gates(a, b);
  page.parts[3].content = settings(a, b);
  page.parts[4].content = curves(a, b);
  return page;
}

}  // namespace tercet::dashboard
