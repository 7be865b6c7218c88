// Text made ready for ranks: local sources tokenized once into a memory-mapped token file, split into training and
// held-out documents by hash, cut into logical shards and samples that do not depend on the number of ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tercet/base/file.hpp"
#include "tercet/comm/communicator.hpp"
#include "tercet/comm/stop_control.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet {

struct TextSource {
  std::string path;     // a file, a folder (all files below it), or a glob ("*", "?", "**"); .txt .jsonl (+ .gz .zst),
                        // other suffixes are plain text
  double weight = 1.0;  // share of the training samples, relative to the other sources
  std::string field = "text";  // of each JSON line
};

struct SourceRecord {  // what went in, for the run file
  std::string path;
  std::string sha256;       // of the text files' bytes, in order
  std::uint64_t bytes = 0;  // of the text files, as they are on disk
  // Documents and tokens (with one EOS a document) count both splits.
  std::uint64_t documents = 0, tokens = 0, held_out_documents = 0, held_out_tokens = 0;
  double weight = 1.0;
};

// A token file: uint16 or uint32 ids, mapped. Layout in docs/formats.md.
class TokenFile {
 public:
  // Throws DataError if the header is not one, or does not fit the file's size.
  explicit TokenFile(const std::filesystem::path& path);
  std::uint64_t size() const { return size_; }
  std::uint64_t documents() const { return documents_; }
  const std::string& key() const { return key_; }  // hash of what the ids were made from
  bool intact() const;                             // the ids have the hash in the header (reads them all)
  bool ids_below(std::uint64_t bound) const;       // all of them (reads them all)
  void read(std::uint64_t begin, std::span<std::int64_t> out) const;  // ids [begin, begin + out.size())

 private:
  MappedFile file_;
  std::uint64_t size_ = 0, documents_ = 0;
  std::uint32_t bytes_per_id_ = 0;
  std::string key_, ids_sha256_;
};

struct DatasetOptions {
  std::vector<TextSource> sources;
  double held_out_fraction = 0.05;  // of documents, by hash of the document's bytes
  std::filesystem::path cache;      // where token files are kept, keyed by hashes of text, tokenizer and split rules
  std::int64_t sequence_length = 256;
  std::uint64_t seed = 42;
  std::filesystem::path work;   // folder for unfinished work, so that a job started again goes on; empty: none is kept
  StopControl* stop = nullptr;  // asked after each block of text; its stop is thrown as StopRequested
};

class Dataset {
 public:
  // Collective. Ranks tokenize different parts; rank 0 publishes. A missing, empty or non-UTF-8 source is a DataError
  // naming the file (and byte offset) on all ranks, and so is one with less than one training sequence. Documents: each
  // line of a .jsonl; a plain text ends one at blank lines once it has 4096 bytes. Each is followed by EOS (where the
  // tokenizer has one). The cache must be a folder that all ranks share.
  static Dataset prepare(Communicator& comm, const DatasetOptions& options, const Tokenizer& tokenizer);

  const std::vector<SourceRecord>& sources() const { return records_; }
  std::uint64_t training_tokens() const;
  std::uint64_t held_out_tokens() const;

  // Training sample `index`: sequence_length ids. Pure function of (seed, epoch implied by index, index): source by
  // weight, spread evenly over the indices, then a permutation of that source's sequences per epoch. Any rank finds any
  // sample without state. Only full sequences are drawn.
  void training_sample(std::uint64_t index, std::span<std::int64_t> ids) const;
  std::uint64_t held_out_windows() const;  // non-overlapping, of sequence_length ids, source by source; can be 0
  void held_out_window(std::uint64_t index, std::span<std::int64_t> ids) const;  // [0, held_out_windows())

 private:
  std::vector<SourceRecord> records_;
  struct Source;
  std::vector<std::shared_ptr<const Source>> sources_;
  std::vector<std::uint64_t> shares_;  // of each source against those after it, in 1/2^32
  DatasetOptions options_;
};

// Logical shards: a fixed cut of `items` into `shards` contiguous runs, whatever the number of ranks.
struct ShardRange {
  std::uint64_t begin = 0, end = 0;
};
ShardRange shard_range(std::uint64_t items, std::uint64_t shards, std::uint64_t shard);
// The shards of one rank: a contiguous run, sizes differing by at most one.
ShardRange shards_of_rank(std::uint64_t shards, int rank, int world_size);

// The evaluation protocol on one text file: all ids in one stream, no BOS, non-overlapping windows of `length`, at most
// `windows` (0: all). The file is read as one text (invalid UTF-8 is a DataError).
std::vector<std::int32_t> tokenize_file(const std::filesystem::path& path, const Tokenizer& tokenizer);
// Collective. The same, tokenized by rank 0 and sent to all.
std::vector<std::int32_t> tokenize_file(Communicator& comm, const std::filesystem::path& path,
                                        const Tokenizer& tokenizer);

}  // namespace tercet
