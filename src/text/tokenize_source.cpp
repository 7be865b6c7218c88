#include "text/tokenize_source.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/store/work_log.hpp"
#include "text/documents.hpp"
#include "text/text_files.hpp"
#include "text/token_file.hpp"

namespace tercet::text {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

// Blocks of whole documents are the units of work that ranks share; they do not depend on the number of ranks.
constexpr std::uint64_t kBlockBytes = std::uint64_t{1} << 20;
constexpr const char* kUnit = "tokenize";

// A run of whole documents in one file, by bytes of its (decompressed) text.
struct Piece {
  std::size_t file = 0;
  std::uint64_t begin = 0, end = 0;
  std::uint64_t first_line = 1;  // of JSON lines
};
using Block = std::vector<Piece>;

struct SplitCount {
  std::uint64_t ids = 0, documents = 0;
};
using BlockCounts = std::array<SplitCount, 2>;  // training, held-out
using SplitIds = std::array<std::vector<std::int32_t>, 2>;

// Cuts the documents of all files into blocks.
class BlockCutter {
 public:
  void add_file(std::size_t file, const TextContent& content, bool json) {
    const char* start = content.view().data();
    const auto add = [&](std::string_view document, std::uint64_t line) {
      const auto begin = static_cast<std::uint64_t>(document.data() - start);
      add_document({file, begin, begin + document.size(), line});
    };
    if (json) {
      for (const JsonLine& line : json_lines(content.view())) add(line.line, line.number);
    } else {
      for (const std::string_view document : plain_documents(content.view())) add(document, 1);
    }
  }
  std::vector<Block> take() { return std::move(blocks_); }

 private:
  void add_document(const Piece& document) {
    if (blocks_.empty() || filled_ >= kBlockBytes) {
      blocks_.emplace_back();
      filled_ = 0;
    }
    Block& block = blocks_.back();
    if (!block.empty() && block.back().file == document.file) {
      block.back().end = document.end;
    } else {
      block.push_back(document);
    }
    filled_ += document.end - document.begin;
  }

  std::vector<Block> blocks_;
  std::uint64_t filled_ = 0;
};

// Collective. Rank 0 looks for the borders of documents; the others read only what they tokenize.
std::vector<Block> cut_blocks(Communicator& comm, const SourceFiles& source) {
  const std::string wire = on_root(comm, [&] {
    BlockCutter cutter;
    for (std::size_t file = 0; file < source.files.size(); ++file) {
      cutter.add_file(file, TextContent(source.files[file]), format_of(source.files[file]).json_lines);
    }
    json blocks = json::array();
    for (const Block& block : cutter.take()) {
      json pieces = json::array();
      for (const Piece& piece : block) pieces.push_back({piece.file, piece.begin, piece.end, piece.first_line});
      blocks.push_back(std::move(pieces));
    }
    if (blocks.empty()) throw DataError("text source '" + source.source.path + "' is empty", "it has no document");
    return blocks.dump();
  });
  std::vector<Block> blocks;
  for (const json& pieces : json::parse(wire)) {
    Block& block = blocks.emplace_back();
    for (const json& piece : pieces) block.push_back({piece.at(0), piece.at(1), piece.at(2), piece.at(3)});
  }
  return blocks;
}

bool is_held_out(std::string_view document, double fraction) {
  return static_cast<double>(hash64(document) >> 11) * 0x1.0p-53 < fraction;
}

// Blocks to ids. Keeps the file it read last: blocks of one file follow each other.
class BlockTokenizer {
 public:
  BlockTokenizer(const SourceFiles& source, const Tokenizer& tokenizer, double held_out_fraction)
      : source_(source),
        tokenizer_(tokenizer),
        held_out_fraction_(held_out_fraction),
        bytes_per_id_(tokenizer.vocab_size() <= 1 << 16 ? 2 : 4) {}

  // The block's counts, then its training ids, then its held-out ids.
  std::string tokenize(const Block& block) {
    BlockCounts counts;
    SplitIds ids;
    for (const Piece& piece : block) add_piece(piece, counts, ids);
    std::string bytes(reinterpret_cast<const char*>(counts.data()), sizeof counts);
    for (const auto& split : ids) {
      const std::vector<std::byte> packed = pack_ids(split, bytes_per_id_);
      bytes.append(reinterpret_cast<const char*>(packed.data()), packed.size());
    }
    return bytes;
  }

  std::uint32_t bytes_per_id() const { return bytes_per_id_; }

 private:
  void add_piece(const Piece& piece, BlockCounts& counts, SplitIds& ids) {
    const fs::path& path = source_.files[piece.file];
    if (!content_ || open_file_ != piece.file) content_.emplace(path);
    open_file_ = piece.file;
    if (piece.end > content_->view().size())
      throw DataError("text file '" + path.string() + "' changed while it was read");
    const std::string_view text = content_->view().substr(piece.begin, piece.end - piece.begin);
    require_utf8(text, path, piece.begin);
    if (format_of(path).json_lines) {
      for (JsonLine line : json_lines(text)) {
        line.number += piece.first_line - 1;
        add_document(json_document(line, source_.source.field, path), counts, ids);
      }
    } else {
      for (const std::string_view document : plain_documents(text)) add_document(document, counts, ids);
    }
  }

  void add_document(std::string_view text, BlockCounts& counts, SplitIds& ids) const {
    if (text.empty()) return;
    const std::size_t split = is_held_out(text, held_out_fraction_) ? 1 : 0;
    const std::size_t before = ids[split].size();
    tokenizer_.encode(text, ids[split]);
    if (tokenizer_.eos_token() >= 0) ids[split].push_back(static_cast<std::int32_t>(tokenizer_.eos_token()));
    counts[split].ids += ids[split].size() - before;
    ++counts[split].documents;
  }

  const SourceFiles& source_;
  const Tokenizer& tokenizer_;
  double held_out_fraction_;
  std::uint32_t bytes_per_id_;
  std::optional<TextContent> content_;
  std::size_t open_file_ = 0;
};

// One split of all blocks, in their order, as a token file.
void join_blocks(const WorkRecords& records, std::uint64_t blocks, std::size_t split, std::uint32_t bytes_per_id,
                 const fs::path& target, const std::string& key, const fs::path& work) {
  // A name of this job's own: another may fill the same cache.
  TokenFileWriter writer(fs::path(target).concat("." + sha256_hex(work.string()).substr(0, 12) + ".staged"),
                         bytes_per_id);
  std::uint64_t documents = 0;
  for (std::uint64_t block = 0; block < blocks; ++block) {
    const auto bytes = records.find(std::string(kUnit) + "/" + std::to_string(block));
    BlockCounts counts;
    if (!bytes || bytes->size() < sizeof counts) {
      throw StoreError("block " + std::to_string(block) + " of the tokenized text is missing", "",
                       "the cache and the output must be folders that all ranks share");
    }
    std::memcpy(counts.data(), bytes->data(), sizeof counts);
    const std::size_t begin = sizeof counts + (split == 0 ? 0 : counts[0].ids * bytes_per_id);
    const std::string_view ids = bytes->substr(begin, counts[split].ids * bytes_per_id);
    writer.append(std::as_bytes(std::span(ids.data(), ids.size())));
    documents += counts[split].documents;
  }
  writer.publish(target, key, documents);
}

// Where unfinished work lies: in the job's own folder, else under a name that no other job uses.
fs::path work_folder(const DatasetOptions& options, const std::string& key) {
  if (!options.work.empty()) return options.work / key.substr(0, 16);
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return options.cache / (".work-" + key.substr(0, 16) + "." + std::to_string(::getpid()) + "." + std::to_string(now));
}

fs::path prepare_folders(Communicator& comm, const DatasetOptions& options, const std::string& key) {
  return on_root(comm, [&] {
    std::error_code error;
    fs::create_directories(options.cache, error);
    if (error) throw StoreError("cannot create the token cache '" + options.cache.string() + "'", error.message());
    return work_folder(options, key).string();
  });
}

// Work under a name of its own is of no use to a later job: it goes whatever happens.
struct UnnamedWork {
  fs::path folder;  // empty: kept
  ~UnnamedWork() {
    std::error_code ignored;
    if (!folder.empty()) fs::remove_all(folder, ignored);
  }
};

}  // namespace

TokenFiles token_files(const fs::path& cache, const std::string& key) {
  return {cache / (key + ".training.tokens"), cache / (key + ".held_out.tokens")};
}

void tokenize_source(Communicator& comm, const SourceFiles& source, const DatasetOptions& options,
                     const Tokenizer& tokenizer, const std::string& key) {
  const fs::path folder = prepare_folders(comm, options, key);
  const UnnamedWork unnamed{comm.is_root() && options.work.empty() ? folder : fs::path()};
  const std::vector<Block> blocks = cut_blocks(comm, source);
  BlockTokenizer tokenize(source, tokenizer, options.held_out_fraction);
  {
    WorkLog log(comm, folder, key);
    UnitWork work;
    work.name = kUnit;
    work.count = blocks.size();
    work.compute = [&](std::uint64_t block) { return tokenize.tokenize(blocks[block]); };
    work.take = [](std::uint64_t, std::string_view) {};  // rank 0 reads all of them below
    run_units(comm, work, &log, options.stop);
  }
  on_root(comm, [&] {
    const WorkRecords records(folder, key);
    const TokenFiles targets = token_files(options.cache, key);
    join_blocks(records, blocks.size(), 0, tokenize.bytes_per_id(), targets.training, key, folder);
    join_blocks(records, blocks.size(), 1, tokenize.bytes_per_id(), targets.held_out, key, folder);
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    return std::string();
  });
}

}  // namespace tercet::text
