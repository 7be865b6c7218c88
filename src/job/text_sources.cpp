#include "text_sources.hpp"

#include <algorithm>
#include <vector>

#include "tercet/base/error.hpp"

namespace tercet::job {
namespace {

// The held-out documents as one stream, at most `tokens` of it.
std::vector<std::int32_t> held_out_stream(const Dataset& dataset, std::int64_t sequence_length, std::uint64_t tokens) {
  std::vector<std::int64_t> window(static_cast<std::size_t>(sequence_length));
  std::vector<std::int32_t> stream;
  for (std::uint64_t i = 0; i < dataset.held_out_windows() && stream.size() < tokens; ++i) {
    dataset.held_out_window(i, window);
    stream.insert(stream.end(), window.begin(), window.end());
  }
  return stream;
}

Windows part_of(const Windows& all, std::uint64_t begin, std::uint64_t count) {
  return {count, all.length,
          [all, begin](std::uint64_t index, std::span<std::int64_t> out) { all.read(begin + index, out); }};
}

}  // namespace

DatasetOptions dataset_options(const JobConfig& config) {
  DatasetOptions options;
  for (const SourceConfig& source : config.data.sources)
    options.sources.push_back({source.path, source.weight, source.field});
  options.held_out_fraction = config.data.held_out_fraction;
  options.cache = config.data.cache.empty() ? std::filesystem::path(config.output) / "tokens"
                                            : std::filesystem::path(config.data.cache);
  options.sequence_length = config.data.sequence_length;
  options.seed = static_cast<std::uint64_t>(config.seed);
  return options;
}

EvaluationWindows evaluation_windows(Communicator& comm, const JobConfig& config, const Dataset& dataset,
                                     const Tokenizer& tokenizer) {
  const std::int64_t length = config.evaluation.sequence_length;
  const auto wanted = static_cast<std::uint64_t>(config.evaluation.windows);
  const std::uint64_t enough =
      wanted == 0 ? ~std::uint64_t{0} : (wanted + kSelectionWindows) * static_cast<std::uint64_t>(length);
  const Windows held_out = windows_of(held_out_stream(dataset, config.data.sequence_length, enough), length);
  EvaluationWindows cut;
  if (config.data.evaluation.empty()) {
    cut.measured = held_out.first(wanted);
    const std::uint64_t left = std::min(held_out.count - cut.measured.count, kSelectionWindows);
    cut.selection = left > 0 ? part_of(held_out, cut.measured.count, left) : cut.measured.first(kSelectionWindows);
  } else {
    std::vector<std::int32_t> stream;
    for (const std::string& file : config.data.evaluation) {
      const std::vector<std::int32_t> ids = tokenize_file(comm, file, tokenizer);
      stream.insert(stream.end(), ids.begin(), ids.end());
    }
    cut.measured = windows_of(std::move(stream), length).first(wanted);
    cut.selection = held_out.count > 0 ? held_out.first(kSelectionWindows) : cut.measured.first(kSelectionWindows);
  }
  if (cut.measured.count == 0) {
    throw DataError("there is no held-out text to measure quality on",
                    "not one window of " + std::to_string(length) + " tokens is held out",
                    "give data.evaluation, raise data.held_out_fraction, or shorten evaluation.sequence_length");
  }
  return cut;
}

}  // namespace tercet::job
