// The parts of report.html, one function each; empty where the run has no data for it. A number that
// `tercet report --json` has carries its place there (page::figure_value).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tercet/page/chart.hpp"
#include "tercet/page/html.hpp"
#include "tercet/report/run_view.hpp"

namespace tercet::sections {

// html_summary.cpp
page::Html heading(const RunView& run);  // name, verdict, the figures that matter most
page::Html gates_section(const RunView& run);
// html_rounds.cpp
page::Html rounds_section(const RunView& run);  // stages and remedies
// html_quality.cpp
page::Html figures_section(const RunView& run);  // before, quantized, tuned by block, packed
page::Html models_section(const RunView& run);   // original, packed and dequantized side by side
page::Html tasks_section(const RunView& run);
// html_inference.cpp, parts of models_section
page::Html speed_part(const RunView& run);    // tokens/s of the packed model beside the original
page::Html samples_part(const RunView& run);  // what each of them makes of one prompt
// html_bits.cpp
page::Html bits_section(const RunView& run);  // bits per layer that were chosen for a target
// html_training.cpp
page::Html training_section(const RunView& run);  // curves, blocks, steps that were not taken
// html_layers.cpp
page::Html layers_section(const RunView& run);
// html_trits.cpp
page::Html trits_section(const RunView& run);
// html_machine.cpp
page::Html machine_section(const RunView& run);  // stages, checkpoints, ranks
// html_origin.cpp
page::Html data_section(const RunView& run);
page::Html origin_section(const RunView& run);  // configuration, versions, environment

// What several of them need.
inline constexpr std::size_t kMostRows = 200;         // of a table, but those of the layers
inline constexpr std::size_t kMostLayers = 2000;      // of a table in the page; the CSV has all
inline constexpr std::size_t kLongestSample = 4000;   // bytes of a text from a model
inline constexpr const char* kNone = "\xE2\x80\x93";  // where nothing was measured
std::string result_key(const std::string& path);      // of RunResults, e.g. "packed/perplexity"
std::string series_key(const std::string& name);      // of the last value of a series
// `value` as `format` writes it, findable under `key`; a dash without one.
page::Html figure(const std::string& key, const std::optional<double>& value,
                  const std::function<std::string(double)>& format);
page::Series curve(const RunView& run, const std::string& name, const std::string& title);  // a series over its steps
std::string in_percent(double share);                                                       // "62.71 %"
std::string as_ratio(double value);                                                         // "12.81x"
std::string with_three_digits(double value);
std::string in_bytes(double bytes);
std::string signed_percent(double share);  // "+2.5 %"
std::optional<double> bytes_or_none(std::uint64_t bytes);
std::optional<int> block_of(const std::string& tensor);  // 3 of "model.layers.3.mlp.up_proj.weight"

}  // namespace tercet::sections
