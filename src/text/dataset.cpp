#include "tercet/text/dataset.hpp"

#include <cmath>
#include <cstring>
#include <numeric>

#include "tercet/base/error.hpp"
#include "tercet/base/random.hpp"
#include "text/sampling.hpp"
#include "text/source_files.hpp"
#include "text/text_files.hpp"
#include "text/tokenize_source.hpp"

namespace tercet {
namespace fs = std::filesystem;
using text::SourceFiles;

struct Dataset::Source {
  TokenFile training, held_out;
  std::uint64_t sequences = 0, windows = 0;  // full ones
};

namespace {

void check(const DatasetOptions& options) {
  if (options.sources.empty()) throw ConfigError("no text source is given", "", "name at least one");
  if (options.cache.empty()) throw ConfigError("no folder for the token cache is given");
  if (options.sequence_length < 1) {
    throw ConfigError("the sequence length is " + std::to_string(options.sequence_length), "at least 1 is needed");
  }
  if (!(options.held_out_fraction >= 0.0 && options.held_out_fraction < 1.0)) {
    throw ConfigError("the held-out fraction is " + std::to_string(options.held_out_fraction),
                      "it must be at least 0 and less than 1");
  }
  for (const TextSource& source : options.sources) {
    if (std::isfinite(source.weight) && source.weight > 0.0) continue;
    throw ConfigError("the weight of text source '" + source.path + "' is " + std::to_string(source.weight),
                      "it must be positive");
  }
}

// Whether both files are there and whole. A damaged file is only worth making again; so is one with ids that the
// tokenizer does not have, which would index past the model's embedding.
bool is_cached(const text::TokenFiles& files, const std::string& key, const Tokenizer& tokenizer) {
  const auto vocabulary = static_cast<std::uint64_t>(tokenizer.vocab_size());
  try {
    for (const fs::path& path : {files.training, files.held_out}) {
      if (!fs::exists(path)) return false;
      const TokenFile file(path);
      if (file.key() != key || !file.intact() || !file.ids_below(vocabulary)) return false;
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

SourceRecord record_of(const SourceFiles& files, const TokenFile& training, const TokenFile& held_out) {
  SourceRecord record;
  record.path = files.source.path;
  record.sha256 = files.sha256;
  record.bytes = files.bytes;
  record.documents = training.documents() + held_out.documents();
  record.tokens = training.size() + held_out.size();
  record.held_out_documents = held_out.documents();
  record.held_out_tokens = held_out.size();
  record.weight = files.source.weight;
  return record;
}

void require_sequence(const SourceRecord& record, std::int64_t sequence_length) {
  const std::uint64_t training = record.tokens - record.held_out_tokens;
  if (training >= static_cast<std::uint64_t>(sequence_length)) return;
  throw DataError("text source '" + record.path + "' is too small",
                  "it has " + std::to_string(training) + " training tokens (and " +
                      std::to_string(record.held_out_tokens) + " held out), one sequence has " +
                      std::to_string(sequence_length),
                  "give more text, a shorter sequence or a smaller held-out fraction");
}

void require_length(std::span<std::int64_t> ids, std::int64_t sequence_length) {
  if (ids.size() == static_cast<std::size_t>(sequence_length)) return;
  throw ConfigError("a sequence of " + std::to_string(ids.size()) + " ids was asked for",
                    "the dataset was prepared with " + std::to_string(sequence_length));
}

}  // namespace

Dataset Dataset::prepare(Communicator& comm, const DatasetOptions& options, const Tokenizer& tokenizer) {
  check(options);
  Dataset dataset;
  dataset.options_ = options;
  std::vector<double> weights;
  for (const TextSource& source : options.sources) {
    const SourceFiles files = text::find_source_files(comm, source);
    const std::string key = text::cache_key(files, tokenizer, options.held_out_fraction);
    const text::TokenFiles cached = text::token_files(options.cache, key);
    const std::string state = on_root(comm, [&] { return is_cached(cached, key, tokenizer) ? "cached" : "absent"; });
    if (state == "absent") text::tokenize_source(comm, files, options, tokenizer, key);
    on_every_rank(comm, [&] {
      auto ready = std::make_shared<Source>(Source{TokenFile(cached.training), TokenFile(cached.held_out)});
      ready->sequences = ready->training.size() / static_cast<std::uint64_t>(options.sequence_length);
      ready->windows = ready->held_out.size() / static_cast<std::uint64_t>(options.sequence_length);
      dataset.records_.push_back(record_of(files, ready->training, ready->held_out));
      require_sequence(dataset.records_.back(), options.sequence_length);
      dataset.sources_.push_back(std::move(ready));
    });
    weights.push_back(source.weight);
  }
  dataset.shares_ = text::shares_of_weights(weights);
  return dataset;
}

std::uint64_t Dataset::training_tokens() const {
  return std::accumulate(sources_.begin(), sources_.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& source) { return sum + source->training.size(); });
}

std::uint64_t Dataset::held_out_tokens() const {
  return std::accumulate(sources_.begin(), sources_.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& source) { return sum + source->held_out.size(); });
}

void Dataset::training_sample(std::uint64_t index, std::span<std::int64_t> ids) const {
  require_length(ids, options_.sequence_length);
  const text::Draw draw = text::draw_of(index, shares_);
  const Source& source = *sources_[draw.source];
  const std::uint64_t epoch = draw.number / source.sequences;
  // Each source and epoch has a permutation of its own.
  const std::uint64_t order =
      random_bits(options_.seed, purpose_of("dataset.order"), epoch * sources_.size() + draw.source);
  const std::uint64_t sequence = permuted_index(options_.seed, order, source.sequences, draw.number % source.sequences);
  source.training.read(sequence * ids.size(), ids);
}

std::uint64_t Dataset::held_out_windows() const {
  return std::accumulate(sources_.begin(), sources_.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& source) { return sum + source->windows; });
}

void Dataset::held_out_window(std::uint64_t index, std::span<std::int64_t> ids) const {
  require_length(ids, options_.sequence_length);
  std::uint64_t window = index;
  for (const auto& source : sources_) {
    if (window < source->windows) return source->held_out.read(window * ids.size(), ids);
    window -= source->windows;
  }
  throw DataError("there is no held-out window " + std::to_string(index),
                  "there are " + std::to_string(held_out_windows()));
}

std::vector<std::int32_t> tokenize_file(const fs::path& path, const Tokenizer& tokenizer) {
  if (!fs::exists(path)) throw DataError("no text at '" + path.string() + "'", "the path does not exist");
  const text::TextContent content(path);
  if (content.view().empty()) throw DataError("text file '" + path.string() + "' is empty");
  text::require_utf8(content.view(), path);
  std::vector<std::int32_t> ids;
  tokenizer.encode(content.view(), ids);
  return ids;
}

std::vector<std::int32_t> tokenize_file(Communicator& comm, const fs::path& path, const Tokenizer& tokenizer) {
  const std::string wire = on_root(comm, [&] {
    const std::vector<std::int32_t> ids = tokenize_file(path, tokenizer);
    return std::string(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int32_t));
  });
  std::vector<std::int32_t> ids(wire.size() / sizeof(std::int32_t));
  std::memcpy(ids.data(), wire.data(), wire.size());
  return ids;
}

}  // namespace tercet
