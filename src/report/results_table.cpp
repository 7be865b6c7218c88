#include <algorithm>

#include "tercet/base/text.hpp"
#include "tercet/report/report.hpp"

namespace tercet {
namespace {

using Cells = std::vector<std::string>;
const std::string kNone = "-";

std::string percent(const std::optional<double>& share, int digits) {
  return share ? format_fixed(100.0 * *share, digits) + " %" : kNone;
}

std::string size(std::uint64_t bytes) {
  return bytes == 0 ? kNone : format_bytes(bytes);
}

std::string check(const std::optional<bool>& passed) {
  return passed ? (*passed ? "yes" : "no") : kNone;
}

// "pass (>= 6)", "FAIL (>= 6)", "warning (>= 6)", "off".
std::string gate_cell(const std::vector<GateRecord>& gates, const std::string& name) {
  const auto gate = std::find_if(gates.begin(), gates.end(), [&](const GateRecord& g) { return g.name == name; });
  if (gate == gates.end()) return kNone;
  if (gate->verdict == "skipped") return "off";
  const std::string word = gate->verdict == "pass" ? "pass" : gate->severity == "fail" ? "FAIL" : "warning";
  return word + " (" + gate->comparison + ")";
}

Cells ratio_row(const RunResults& results, const std::vector<GateRecord>& gates, const std::string& baseline,
                std::uint64_t bytes) {
  const auto ratio = results.ratio(baseline);
  return {"ratio to " + baseline, size(bytes), "", ratio ? format_fixed(*ratio, 2) + "x" : kNone,
          baseline == results.baseline ? gate_cell(gates, "compression") : ""};
}

// Of decoding, against both forms of the original, the gate beside the judged one.
void add_speed_rows(const RunResults& results, const std::vector<GateRecord>& gates, std::vector<Cells>& rows) {
  if (!results.speed) return;
  const DecodeSpeed& speed = *results.speed;
  if (!speed.refusal.empty()) {
    rows.push_back({"speed-up", kNone, "", kNone, gate_cell(gates, "speedup")});
    return;
  }
  const auto rate = [](const DecodeRate& measured) { return format_fixed(measured.median, 1) + " tokens/s"; };
  const std::string judged = speed.form(results.speed_baseline);
  rows.push_back({"decoding", "", "", rate(speed.packed), ""});
  for (const char* form : {"fp32", "bf16"}) {
    const auto ratio = speed.speedup(form);
    rows.push_back({std::string("speed-up to ") + form, rate(speed.original(form)), "",
                    ratio ? format_fixed(*ratio, 2) + "x" : kNone, form == judged ? gate_cell(gates, "speedup") : ""});
  }
}

// The rows of each task, and the gate beside the one that it judges.
void add_task_rows(const RunResults& results, const std::vector<GateRecord>& gates, std::vector<Cells>& rows) {
  for (const TaskFigures& task : results.tasks) {
    const auto add = [&](const std::string& metric) {
      if (!task.before.metric(metric)) return;
      const bool judged = task.name == results.accuracy_task && metric == results.accuracy_metric;
      rows.push_back({task.name + " " + metric, percent(task.before.metric(metric), 2), "",
                      percent(task.packed.metric(metric), 2), judged ? gate_cell(gates, "accuracy") : ""});
    };
    add("acc");
    add("acc_norm");
    if (!task.before.perplexity) continue;
    rows.push_back({task.name + " perplexity", format_or_dash(task.before.perplexity, 3), "",
                    format_or_dash(task.packed.perplexity, 3), ""});
  }
}

}  // namespace

std::vector<Cells> results_rows(const RunResults& results, const std::vector<GateRecord>& gates) {
  const Figures &before = results.before, &quantized = results.quantized, &packed = results.packed;
  std::vector<Cells> rows = {
      {"", "before", "quantized", results.fine_tuning ? "fine-tuned, packed" : "packed", "gate"},
      {"size", size(results.file_bytes), "", size(results.packed_bytes), ""},
      ratio_row(results, gates, "fp32", results.fp32_bytes),
      ratio_row(results, gates, "fp16", results.fp16_bytes),
      ratio_row(results, gates, "file", results.file_bytes),
      {"perplexity", format_or_dash(before.perplexity, 3), format_or_dash(quantized.perplexity, 3),
       format_or_dash(packed.perplexity, 3), gate_cell(gates, "perplexity")},
      {"next-token accuracy", percent(before.accuracy, 2), percent(quantized.accuracy, 2), percent(packed.accuracy, 2),
       results.accuracy_task.empty() ? gate_cell(gates, "accuracy") : ""},
      {"agreement with original", "", percent(quantized.agreement, 2), percent(packed.agreement, 2), ""},
      {"dequantized = packed", "", "", percent(results.codec_agreement, 3), gate_cell(gates, "agreement")},
      {"sparsity", "", "", percent(results.sparsity(), 1), gate_cell(gates, "sparsity")},
      {"gradient flow", "", "", check(results.gradient_flow), gate_cell(gates, "gradient_flow")},
      {"handoff complete", "", "", check(results.handoff), gate_cell(gates, "handoff")},
  };
  add_speed_rows(results, gates, rows);
  add_task_rows(results, gates, rows);
  return rows;
}

std::string results_table(const RunResults& results, const std::vector<GateRecord>& gates) {
  return format_table(results_rows(results, gates));
}

std::string gates_text(const std::vector<GateRecord>& gates) {
  std::string text;
  for (const GateRecord& gate : gates) {
    const std::string mark = gate.verdict == "pass"      ? "pass   "
                             : gate.verdict == "skipped" ? "off    "
                             : gate.severity == "fail"   ? "FAIL   "
                                                         : "warning";
    text += mark + "  " + gate.name + ": " + gate.evidence + "\n";
  }
  return text;
}

}  // namespace tercet
