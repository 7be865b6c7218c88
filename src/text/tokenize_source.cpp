#include "text/tokenize_source.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>

#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "text/documents.hpp"
#include "text/text_files.hpp"
#include "text/token_file.hpp"

namespace tercet::text {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

// Work is dealt to ranks in blocks of whole documents; a block is what its first document and this size say, so the
// blocks do not depend on the number of ranks.
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::array<const char*, 2> kSplitNames = {"training", "held_out"};

struct SplitCount {
  std::uint64_t ids = 0, documents = 0;
};
using BlockCounts = std::array<SplitCount, 2>;  // training, held-out

fs::path part_path(const fs::path& cache, const std::string& tag, int rank, std::size_t split) {
  return cache / (tag + "-" + std::to_string(rank) + "." + kSplitNames[split] + ".part");
}

bool is_held_out(std::string_view document, double fraction) {
  return static_cast<double>(hash64(document) >> 11) * 0x1.0p-53 < fraction;
}

// One rank's share of a source.
class BlockTokenizer {
 public:
  BlockTokenizer(Communicator& comm, const SourceFiles& source, const DatasetOptions& options,
                 const Tokenizer& tokenizer, const std::string& tag)
      : rank_(static_cast<std::uint64_t>(comm.rank())),
        ranks_(static_cast<std::uint64_t>(comm.size())),
        field_(source.source.field),
        held_out_fraction_(options.held_out_fraction),
        tokenizer_(tokenizer),
        bytes_per_id_(tokenizer.vocab_size() <= 1 << 16 ? 2 : 4) {
    for (std::size_t split = 0; split < parts_.size(); ++split) {
      parts_[split] = std::make_unique<StagedFile>(part_path(options.cache, tag, comm.rank(), split));
    }
  }

  void add_file(const fs::path& path) {
    const TextContent content(path);
    require_utf8(content.view(), path);
    if (format_of(path).json_lines) {
      deal(
          json_lines(content.view()), [](const JsonLine& line) { return line.line.size(); },
          [&](const JsonLine& line) { add_document(json_document(line, field_, path)); });
    } else {
      deal(
          plain_documents(content.view()), [](std::string_view text) { return text.size(); },
          [&](std::string_view text) { add_document(text); });
    }
  }

  void close() {
    for (const auto& part : parts_) part->close();
  }

  std::uint64_t blocks() const { return blocks_; }
  std::string counts() const;  // of this rank's blocks, for the other ranks
  std::uint32_t bytes_per_id() const { return bytes_per_id_; }

 private:
  // Cuts documents into blocks and handles those that are this rank's.
  template <class Documents, class Size, class Action>
  void deal(const Documents& documents, Size size, Action action) {
    std::size_t filled = kBlockBytes;
    for (const auto& document : documents) {
      if (filled >= kBlockBytes) {
        filled = 0;
        if (blocks_++ % ranks_ == rank_) counts_.emplace_back();
      }
      filled += size(document);
      if ((blocks_ - 1) % ranks_ == rank_) action(document);
    }
  }

  void add_document(std::string_view text) {
    if (text.empty()) return;
    const std::size_t split = is_held_out(text, held_out_fraction_) ? 1 : 0;
    ids_.clear();
    tokenizer_.encode(text, ids_);
    if (tokenizer_.eos_token() >= 0) ids_.push_back(static_cast<std::int32_t>(tokenizer_.eos_token()));
    parts_[split]->write(pack_ids(ids_, bytes_per_id_));
    counts_.back()[split].ids += ids_.size();
    ++counts_.back()[split].documents;
  }

  std::uint64_t rank_, ranks_;
  std::string field_;
  double held_out_fraction_;
  const Tokenizer& tokenizer_;
  std::uint32_t bytes_per_id_;
  std::array<std::unique_ptr<StagedFile>, 2> parts_;
  std::uint64_t blocks_ = 0;
  std::vector<BlockCounts> counts_;
  std::vector<std::int32_t> ids_;
};

std::string BlockTokenizer::counts() const {
  json all = json::array();
  for (const BlockCounts& block : counts_) {
    for (const SplitCount& split : block) {
      all.push_back(split.ids);
      all.push_back(split.documents);
    }
  }
  return all.dump();
}

// The counts of all blocks in order, from what each rank says about its own.
std::vector<BlockCounts> join_counts(const std::vector<std::string>& by_rank, std::uint64_t blocks) {
  std::vector<std::vector<std::uint64_t>> numbers;
  for (const std::string& counts : by_rank) numbers.push_back(json::parse(counts).get<std::vector<std::uint64_t>>());
  std::vector<BlockCounts> joined(blocks);
  for (std::uint64_t block = 0; block < blocks; ++block) {
    const std::uint64_t* at = numbers[block % by_rank.size()].data() + 4 * (block / by_rank.size());
    joined[block] = {SplitCount{at[0], at[1]}, SplitCount{at[2], at[3]}};
  }
  return joined;
}

struct Join {
  fs::path cache;
  std::string tag, key;
  std::size_t ranks = 1;
  std::uint32_t bytes_per_id = 2;
};

void join_parts(const Join& join, const std::vector<BlockCounts>& counts, std::size_t split, const fs::path& target) {
  std::vector<MappedFile> parts;
  for (std::size_t rank = 0; rank < join.ranks; ++rank) {
    parts.emplace_back(part_path(join.cache, join.tag, static_cast<int>(rank), split));
  }
  TokenFileWriter writer(join.cache / (join.tag + "." + kSplitNames[split] + ".staged"), join.bytes_per_id);
  std::vector<std::size_t> read(join.ranks, 0);
  std::uint64_t documents = 0;
  for (std::size_t block = 0; block < counts.size(); ++block) {
    const std::size_t rank = block % join.ranks;
    const std::size_t bytes = counts[block][split].ids * join.bytes_per_id;
    if (read[rank] + bytes > parts[rank].bytes().size()) {
      throw StoreError(
          "'" + parts[rank].path().string() + "' is shorter than what rank " + std::to_string(rank) + " wrote", "",
          "the cache must be a folder that all ranks share");
    }
    writer.append(parts[rank].bytes().subspan(read[rank], bytes));
    read[rank] += bytes;
    documents += counts[block][split].documents;
  }
  writer.publish(target, join.key, documents);
}

// A name that no other job uses in the same cache at the same time.
std::string unique_tag(const std::string& key) {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return key.substr(0, 16) + "." + std::to_string(::getpid()) + "." + std::to_string(now);
}

std::string prepare_cache(const fs::path& cache, const std::string& key) {
  std::error_code error;
  fs::create_directories(cache, error);
  if (error) throw StoreError("cannot create the token cache '" + cache.string() + "'", error.message());
  return unique_tag(key);
}

}  // namespace

TokenFiles token_files(const fs::path& cache, const std::string& key) {
  return {cache / (key + ".training.tokens"), cache / (key + ".held_out.tokens")};
}

void tokenize_source(Communicator& comm, const SourceFiles& source, const DatasetOptions& options,
                     const Tokenizer& tokenizer, const std::string& key) {
  const std::string tag = on_root(comm, [&] { return prepare_cache(options.cache, key); });
  std::unique_ptr<BlockTokenizer> mine;
  on_every_rank(comm, [&] { mine = std::make_unique<BlockTokenizer>(comm, source, options, tokenizer, tag); });
  // Ranks meet after each file, so that an error on one does not wait for the others' work on all files.
  for (const fs::path& path : source.files) {
    on_every_rank(comm, [&] { mine->add_file(path); });
  }
  on_every_rank(comm, [&] { mine->close(); });
  const std::vector<BlockCounts> counts = join_counts(comm.all_gather(mine->counts()), mine->blocks());
  on_root(comm, [&] {
    if (counts.empty()) throw DataError("text source '" + source.source.path + "' is empty", "it has no document");
    const Join join{options.cache, tag, key, static_cast<std::size_t>(comm.size()), mine->bytes_per_id()};
    const TokenFiles targets = token_files(options.cache, key);
    join_parts(join, counts, 0, targets.training);
    join_parts(join, counts, 1, targets.held_out);
    return std::string();
  });
}

}  // namespace tercet::text
