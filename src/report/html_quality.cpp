// How good the model is: at each step of the job, in each of its forms, and on tasks.
#include <array>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::sections {

using page::element;
using page::Html;

namespace {

using Row = std::vector<Html>;
using Format = std::string (*)(double);

std::string with_four_digits(double value) {
  return format_fixed(value, 4);
}

struct Measure {
  const char* title;
  const char* series;  // evaluation/<when>/<series>
  Format format;
};
constexpr std::array kMeasures = {
    Measure{"perplexity", "perplexity", with_three_digits},
    Measure{"loss, nats per token", "nll", with_four_digits},
    Measure{"next-token accuracy", "top1_accuracy", in_percent},
    Measure{"agreement with original", "top1_agreement", in_percent},
    Measure{"KL from original, nats per token", "kl", with_four_digits},
};

// A moment of the job when the model was measured on the held-out windows.
struct Moment {
  std::string title, name;  // evaluation/<name>/…
};

std::optional<double> measured(const RunView& run, const std::string& moment, const std::string& series) {
  const auto last = last_of(run.record, "evaluation/" + moment + "/" + series);
  return last ? std::optional(last->value) : std::nullopt;
}

std::vector<Moment> moments_of(const RunView& run) {
  const bool tuned = run.results && run.results->fine_tuning;
  std::vector<Moment> moments;
  for (const Moment& moment :
       {Moment{"before", "before"}, Moment{"quantized", "quantized"}, Moment{"tuned by block", "tuned by block"},
        Moment{tuned ? "fine-tuned, packed" : "packed", "packed"}}) {
    if (measured(run, moment.name, "perplexity")) moments.push_back(moment);
  }
  return moments;
}

std::vector<Row> quality_rows(const RunView& run, const std::vector<Moment>& moments) {
  std::vector<Row> rows;
  for (const Measure& measure : kMeasures) {
    Row row = {measure.title};
    bool any = false;
    for (const Moment& moment : moments) {
      const auto value = measured(run, moment.name, measure.series);
      any = any || value;
      row.push_back(figure(series_key("evaluation/" + moment.name + "/" + measure.series), value, measure.format));
    }
    if (any) rows.push_back(row);
  }
  return rows;
}

std::vector<page::Column> columns_of(const std::vector<Moment>& moments) {
  std::vector<page::Column> columns = {{"", false}};
  for (const Moment& moment : moments) columns.push_back({moment.title});
  return columns;
}

Html perplexity_bars(const RunView& run, const std::vector<Moment>& moments) {
  std::vector<page::Track> rows;
  double most = 0;
  for (const Moment& moment : moments) {
    const double value = *measured(run, moment.name, "perplexity");
    most = std::max(most, value);
    rows.push_back({moment.title, with_three_digits(value), {{0, value, moment.name == "before" ? 7 : 0, ""}}});
  }
  return page::plot("Perplexity on the way", page::tracks(rows, 0, most),
                    "exp(mean loss) on the same held-out windows each time; less is better.");
}

Html sizes_table(const RunResults& results) {
  const auto row = [&](const char* title, const char* key, std::uint64_t bytes, const char* baseline) {
    const auto ratio = results.ratio(baseline);
    return Row{title, figure(result_key(key), bytes_or_none(bytes), in_bytes), ratio ? as_ratio(*ratio) : kNone};
  };
  return page::table(
      {{"size", false}, {"bytes"}, {"of the packed file"}},
      {row("original as fp32", "fp32_bytes", results.fp32_bytes, "fp32"),
       row("original as fp16", "fp16_bytes", results.fp16_bytes, "fp16"),
       row("original files", "file_bytes", results.file_bytes, "file"),
       Row{"packed file", figure(result_key("packed_bytes"), bytes_or_none(results.packed_bytes), in_bytes), "1x"}});
}

Row model_row(const RunView& run, const Measure& measure) {
  Row row = {measure.title};
  for (const char* model : {"before", "packed", "dequantized"}) {
    const std::string name = std::string("evaluation/") + model + "/" + measure.series;
    row.push_back(figure(series_key(name), measured(run, model, measure.series), measure.format));
  }
  return row;
}

Row size_row(const RunResults& results) {
  return {"size", figure(result_key("file_bytes"), bytes_or_none(results.file_bytes), in_bytes),
          figure(result_key("packed_bytes"), bytes_or_none(results.packed_bytes), in_bytes),
          figure(result_key("dequantized_bytes"), bytes_or_none(results.dequantized_bytes), in_bytes)};
}

void add_task_rows(const TaskFigures& task, std::size_t index, std::vector<Row>& rows) {
  const std::string key = result_key("tasks/" + std::to_string(index) + "/");
  const auto add = [&](const char* metric, const std::optional<double>& before, const std::optional<double>& packed,
                       const std::optional<double>& error, Format format) {
    if (!before && !packed) return;
    rows.push_back({page::shortened(task.name, 60), metric, figure(key + "before/" + metric, before, format),
                    figure(key + "packed/" + metric, packed, format),
                    error ? Html("\xC2\xB1 " + in_percent(*error)) : Html(kNone),
                    Html(format_count(static_cast<std::uint64_t>(task.documents)))});
  };
  add("acc", task.before.accuracy, task.packed.accuracy, task.packed.accuracy_stderr, in_percent);
  add("acc_norm", task.before.normalized_accuracy, task.packed.normalized_accuracy,
      task.packed.normalized_accuracy_stderr, in_percent);
  add("perplexity", task.before.perplexity, task.packed.perplexity, std::nullopt, with_three_digits);
}

}  // namespace

Html figures_section(const RunView& run) {
  const std::vector<Moment> moments = moments_of(run);
  if (moments.empty()) return {};
  std::vector<Html> parts = {page::wide(
      page::table(columns_of(moments), quality_rows(run, moments)) +
      page::note("All columns were measured on the same held-out windows. What is packed is the best state of the "
                 "training; its figures are of the packed file, read back from the disk."))};
  if (moments.size() > 1) parts.push_back(perplexity_bars(run, moments));
  return page::grid(parts);
}

Html models_section(const RunView& run) {
  if (!measured(run, "packed", "perplexity") || !measured(run, "dequantized", "perplexity")) return {};
  std::vector<Row> rows;
  if (run.results) rows.push_back(size_row(*run.results));
  for (const Measure& measure : kMeasures) rows.push_back(model_row(run, measure));
  Html html = page::table({{"", false}, {"original"}, {"packed"}, {"dequantized, fp16"}}, rows);
  if (run.results && run.results->codec_agreement) {
    html += element("p", {},
                    Html("With the same rounding of activations, packed and dequantized predict the same token at ") +
                        figure(result_key("codec_agreement"), run.results->codec_agreement, in_percent) +
                        " of the positions.");
  }
  html += page::note(
      "Packed: codes and scales; its forward pass rounds activations as the configuration says. Dequantized: the same "
      "values as a plain fp16 state dict, without rounding of activations.");
  std::vector<Html> parts = {page::wide(html)};
  if (run.results) parts.push_back(sizes_table(*run.results));
  parts.push_back(speed_part(run));
  return page::grid(parts) + samples_part(run);
}

Html tasks_section(const RunView& run) {
  if (!run.results || run.results->tasks.empty()) return {};
  std::vector<Row> rows;
  for (std::size_t i = 0; i < run.results->tasks.size(); ++i) add_task_rows(run.results->tasks[i], i, rows);
  return page::table({{"task", false}, {"metric", false}, {"before"}, {"packed"}, {"standard error"}, {"documents"}},
                     rows);
}

}  // namespace tercet::sections
