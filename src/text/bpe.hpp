// The BPE model of tokenizer.json: words (pieces of text between which nothing merges) to ids.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text/json_view.hpp"
#include "text/merge_table.hpp"
#include "text/word_cache.hpp"

namespace tercet::text {

// Working memory of one encoding at a time, reused from text to text.
struct BpeScratch {
  struct Symbol {
    std::int32_t id = -1, previous = -1, next = -1;  // id -1: merged into the symbol before it
  };
  struct Candidate {
    std::uint64_t order = 0;  // rank, then position: the lowest is merged first
    std::int32_t merged = -1;
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> queue;
  WordCache cache;
};

class BpeModel {
 public:
  // `byte_level`: words are raw bytes and the vocabulary holds their printable stand-ins.
  BpeModel(const JsonView& model, bool byte_level);
  BpeModel(const BpeModel&) = delete;  // entries_ points into vocabulary_
  BpeModel& operator=(const BpeModel&) = delete;

  // Appends the ids of a word that is not empty.
  void encode(std::string_view word, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;

  std::int32_t id_of(const std::string& entry) const;                                        // -1: none
  const std::string* entry_of(std::int32_t id) const;                                        // nullptr: none
  std::int64_t vocab_size() const { return static_cast<std::int64_t>(vocabulary_.size()); }  // number of entries
  std::int64_t largest_id() const { return static_cast<std::int64_t>(entries_.size()) - 1; }

 private:
  void read_options(const JsonView& model);
  void read_vocabulary(const JsonView& vocabulary);
  void read_merges(const JsonView& merges);
  void index_symbols();
  void find_safe_breaks(const JsonView& merges);
  std::size_t next_break(std::string_view word, std::size_t from) const;
  void encode_part(std::string_view part, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;
  void split_into_symbols(std::string_view part, std::vector<BpeScratch::Symbol>& symbols) const;
  void merge_symbols(BpeScratch& scratch) const;

  bool byte_level_ = false, byte_fallback_ = false, fuse_unknown_ = false, ignore_merges_ = false;
  std::int32_t unknown_ = -1;
  std::string file_, unknown_token_;
  std::unordered_map<std::string, std::int32_t> vocabulary_;
  std::unordered_map<std::string, std::int32_t> whole_words_;  // with ignore_merges: by the bytes of the word
  std::vector<const std::string*> entries_;
  std::vector<std::int32_t> code_point_ids_;        // by code point
  std::array<std::int32_t, 256> byte_ids_{};        // ids of <0x00> ... <0xFF>
  std::array<std::int32_t, 256> byte_level_ids_{};  // ids of the stand-ins
  MergeTable merges_;
  std::size_t merge_count_ = 0;
  bool breaks_at_marker_ = false;
  std::unordered_set<char32_t> joins_marker_;  // code points after which a marker may merge
};

}  // namespace tercet::text
