// What happened while the model was trained: curves, blocks, and steps that were not taken.
#include <algorithm>
#include <cmath>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::sections {

using nlohmann::json;
using page::element;
using page::Html;

namespace {

// "0.657 to 0.0254", the first and the last value.
std::string from_to(const page::Series& series) {
  if (series.points.empty()) return "";
  return page::short_number(series.points.front().y) + " to " + page::short_number(series.points.back().y);
}

std::string least_of(const page::Series& series, const std::string& unit) {
  const auto least = std::min_element(series.points.begin(), series.points.end(),
                                      [](const page::Point& a, const page::Point& b) { return a.y < b.y; });
  if (least == series.points.end() || !std::isfinite(least->y)) return "";
  return "least " + page::short_number(least->y) + " at " + unit + " " + format_fixed(least->x, 0);
}

bool same_points(const page::Series& a, const page::Series& b) {
  return std::equal(a.points.begin(), a.points.end(), b.points.begin(), b.points.end(),
                    [](const page::Point& p, const page::Point& q) { return p.x == q.x && p.y == q.y; });
}

void add(std::vector<Html>& parts, const std::string& title, const page::XyChart& chart, const std::string& caption) {
  const Html drawn = page::xy_chart(chart);
  if (!drawn.empty()) parts.push_back(page::plot(title, drawn, caption));
}

void add_loss(const RunView& run, std::vector<Html>& parts) {
  page::XyChart chart{"step", "nats per token", {}};
  const page::Series loss = curve(run, "training/loss", "loss");
  for (page::Series series :
       {loss, curve(run, "training/kl", "KL to the original"), curve(run, "training/cross_entropy", "cross-entropy")}) {
    // With distillation alone the loss is the divergence: one line.
    if (series.points.empty() || (series.name != "loss" && same_points(series, loss))) continue;
    series.figures = from_to(series);
    chart.series.push_back(series);
  }
  add(parts, "Loss", chart,
      "Of each step, over all ranks. Without further terms, loss = d \xC2\xB7 KL + (1 \xE2\x88\x92 d) \xC2\xB7 "
      "cross-entropy, d = "
      "training.distillation.");
}

void add_held_out(const RunView& run, std::vector<Html>& parts) {
  page::Series series = curve(run, "training/held_out_perplexity", "held-out perplexity");
  series.dots = true;
  series.figures = least_of(series, "step");
  add(parts, "Held-out perplexity", {"step", "perplexity", {series}},
      "On the windows that choose the best state; the reported figures are of other windows where there are enough.");
}

void add_single(const RunView& run, std::vector<Html>& parts, const std::string& name, const std::string& title,
                const std::string& unit, bool log, const std::string& caption) {
  page::Series series = curve(run, name, title);
  series.figures = from_to(series);
  page::XyChart chart{"step", unit, {series}};
  chart.log_y = log;
  add(parts, title, chart, caption);
}

void add_blocks(const RunView& run, std::vector<Html>& parts) {
  page::XyChart chart{"block", "relative error", {}};
  chart.from_zero = true;
  for (const auto& [name, title] :
       {std::pair("blockwise/error_before", "before"), {"blockwise/error_after", "after"}}) {
    page::Series series = curve(run, name, title);
    series.dots = true;
    chart.series.push_back(series);
  }
  add(parts, "Tuning block by block", chart,
      "\xE2\x80\x96"
      "f\xCC\x82(X\xCC\x82) \xE2\x88\x92 f(X)\xE2\x80\x96\xC2\xB2 / \xE2\x80\x96"
      "f(X)\xE2\x80\x96\xC2\xB2 of each block's output.");
}

std::string list_text(const json& list) {
  std::string text;
  for (const json& item : list) text += (text.empty() ? "" : ", ") + item.dump();
  return page::shortened(text, 120);
}

std::string shown(const json& record, const char* key) {
  const auto value = number_in(record, key);
  return value ? page::short_number(*value) : kNone;
}

Html bad_steps(const RunView& run) {
  std::vector<std::vector<Html>> rows;
  for (const auto& [key, steps] : run.record.provenance.items()) {
    if (!key.starts_with("bad_steps.") || !steps.is_array()) continue;
    for (const json& step : steps) {
      if (rows.size() == kMostRows) break;
      rows.push_back({shown(step, "step"), page::shortened(key.substr(sizeof "bad_steps." - 1), 40),
                      shown(step, "loss"), shown(step, "gradient_norm"), list_text(list_in(step, "ranks")),
                      page::shortened(text_in(step, "consequence"), 300)});
    }
  }
  if (rows.empty()) return {};
  return element("h3", {}, "Steps that were not taken") +
         page::table(
             {{"step"}, {"attempt", false}, {"loss"}, {"gradient norm"}, {"ranks", false}, {"consequence", false}},
             rows);
}

}  // namespace

Html training_section(const RunView& run) {
  std::vector<Html> parts;
  add_loss(run, parts);
  add_held_out(run, parts);
  add_blocks(run, parts);
  add_single(run, parts, "training/hidden", "Hidden loss", "relative squared distance", true,
             "Mean over blocks and positions of \xE2\x80\x96x\xCC\x82 \xE2\x88\x92 x\xE2\x80\x96\xC2\xB2 / "
             "\xE2\x80\x96x\xE2\x80\x96\xC2\xB2, the residual streams of student and original, before its weight "
             "training.hidden_loss.");
  add_single(run, parts, "training/relation", "Relation loss", "nats", true,
             "Distance of the attention relations of one block in student and original.");
  add_single(run, parts, "training/gradient_norm", "Gradient norm", "L2, before clipping", true, "");
  add_single(run, parts, "training/learning_rate", "Learning rate", "step size of AdamW", false, "");
  add_single(run, parts, "training/tokens_per_second", "Throughput", "tokens/s", false, "Of all ranks together.");
  const Html bad = bad_steps(run);
  if (parts.empty() && bad.empty()) return {};
  Html html = page::grid(parts) + bad;
  if (run.results && run.results->fine_tuning) {
    const FineTuning& tuning = *run.results->fine_tuning;
    html = element("p", {},
                   figure(result_key("fine_tuning/steps"), static_cast<double>(tuning.steps), page::short_number) +
                       " steps, " + figure(result_key("fine_tuning/epochs"), tuning.epochs, page::short_number) +
                       " passes over the training text, " +
                       figure(result_key("fine_tuning/seconds"), tuning.seconds, format_duration) + ".") +
           html;
  }
  return html;
}

}  // namespace tercet::sections
