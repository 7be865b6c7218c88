#include "text/bpe.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "text/byte_level.hpp"
#include "text/limits.hpp"
#include "text/unicode.hpp"

namespace tercet::text {
namespace {

using Symbol = BpeScratch::Symbol;
using Candidate = BpeScratch::Candidate;

constexpr std::size_t kMostKeptSymbols = std::size_t{1} << 20;  // a long text must not hold its memory for ever

std::string byte_entry(unsigned byte) {
  char text[8];
  std::snprintf(text, sizeof text, "<0x%02X>", byte);
  return text;
}

struct MergePair {
  std::string left, right;
};

// Merges are written "left right" or ["left", "right"].
MergePair merge_pair(const JsonView& merge) {
  if (merge.is_array()) {
    if (merge.size() != 2) merge.fail("a merge has two parts");
    return {merge.at(0).string(), merge.at(1).string()};
  }
  const std::string& text = merge.string();
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
    merge.fail("a merge is two parts with one space between");
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

bool later(const Candidate& a, const Candidate& b) {
  return a.order > b.order;
}

// Symbols of one word in the making. As in the tokenizers package, an unknown symbol waits to be fused with the next
// one, and symbols from byte fallback do not make it stop waiting.
class SymbolList {
 public:
  explicit SymbolList(std::vector<Symbol>& symbols) : symbols_(symbols) { symbols_.clear(); }

  void add(std::int32_t id) {
    const auto index = static_cast<std::int32_t>(symbols_.size());
    if (index > 0) symbols_.back().next = index;
    symbols_.push_back({id, index - 1, -1});
  }
  void flush() {
    if (pending_ >= 0) add(pending_);
    pending_ = -1;
  }
  void add_unknown(std::int32_t id, bool fuse) {
    if (!fuse) flush();
    pending_ = id;
  }

 private:
  std::vector<Symbol>& symbols_;
  std::int32_t pending_ = -1;
};

}  // namespace

BpeModel::BpeModel(const JsonView& model, bool byte_level) : byte_level_(byte_level), file_(model.file()) {
  const std::string type = model.type();
  if (!type.empty() && type != "BPE") model.fail("model type '" + type + "' is not supported, only BPE is");
  read_options(model);
  read_vocabulary(model.at("vocab"));
  unknown_ = unknown_token_.empty() ? -1 : id_of(unknown_token_);
  index_symbols();
  read_merges(model.at("merges"));
  find_safe_breaks(model.at("merges"));
}

void BpeModel::read_options(const JsonView& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.string_or(key, "").empty()) model.at(key).fail("word prefixes and suffixes are not supported");
  }
  if (model.has("dropout") && model.at("dropout").number() != 0.0) {
    model.at("dropout").fail("BPE dropout makes ids random and is not supported");
  }
  byte_fallback_ = model.boolean_or("byte_fallback", false);
  fuse_unknown_ = model.boolean_or("fuse_unk", false);
  ignore_merges_ = model.boolean_or("ignore_merges", false);
  unknown_token_ = model.string_or("unk_token", "");
}

void BpeModel::read_vocabulary(const JsonView& vocabulary) {
  vocabulary_.reserve(vocabulary.size());
  vocabulary.for_each_member([&](const std::string& entry, const JsonView& id) {
    vocabulary_.emplace(entry, static_cast<std::int32_t>(id.integer(0, kLargestId)));
  });
  if (vocabulary_.empty()) vocabulary.fail("the vocabulary is empty");
  std::int32_t largest = 0;
  for (const auto& [entry, id] : vocabulary_) largest = std::max(largest, id);
  entries_.assign(static_cast<std::size_t>(largest) + 1, nullptr);
  for (const auto& [entry, id] : vocabulary_) entries_[static_cast<std::size_t>(id)] = &entry;
}

void BpeModel::index_symbols() {
  for (unsigned byte = 0; byte < 256; ++byte) byte_ids_[byte] = id_of(byte_entry(byte));
  std::string bytes;
  for (const auto& [entry, id] : vocabulary_) {
    if (entry.empty()) continue;
    unsigned length = 0;
    const char32_t first = code_point_at(entry, 0, &length);
    if (length == entry.size()) {
      if (first >= code_point_ids_.size()) code_point_ids_.resize(first + 1, -1);
      code_point_ids_[first] = id;
    }
    if (ignore_merges_) {
      if (!byte_level_)
        whole_words_.emplace(entry, id);
      else if (bytes_of_entry(entry, bytes))
        whole_words_.emplace(bytes, id);
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char32_t stand_in = byte_code_points()[byte];
    byte_level_ids_[byte] = stand_in < code_point_ids_.size() ? code_point_ids_[stand_in] : -1;
  }
}

void BpeModel::read_merges(const JsonView& merges) {
  if (!merges.is_array()) merges.fail("an array is needed");
  merge_count_ = merges.size();
  merges_ = MergeTable(merge_count_);
  const auto known = [&](const JsonView& merge, const std::string& entry) {
    const std::int32_t id = id_of(entry);
    if (id < 0) merge.fail("'" + entry + "' is not in the vocabulary");
    return id;
  };
  for (std::size_t rank = 0; rank < merge_count_; ++rank) {
    const JsonView merge = merges.at(rank);
    const MergePair pair = merge_pair(merge);
    const std::int32_t left = known(merge, pair.left);
    const std::int32_t right = known(merge, pair.right);
    merges_.insert(left, right, {static_cast<std::uint32_t>(rank), known(merge, pair.left + pair.right)});
  }
}

// Llama-style vocabularies have no pre-tokenizer: a whole text is one word. But a merge across the boundary between
// code points x and U+2581 needs a merged entry with x U+2581 inside; where no entry has, the parts on both sides merge
// independently and can be cached like words. Not so if symbols are not what the text says: if unknown or byte symbols
// merge, or if unknown code points vanish for want of an unknown token.
void BpeModel::find_safe_breaks(const JsonView& merges) {
  if (byte_level_ || ignore_merges_ || unknown_ < 0 || id_of(std::string(kSentencePieceSpace)) < 0) return;
  for (std::size_t rank = 0; rank < merge_count_; ++rank) {
    const MergePair pair = merge_pair(merges.at(rank));
    for (const std::string& part : {pair.left, pair.right}) {
      const bool is_byte = part.size() == 6 && part.starts_with("<0x");
      if (part == unknown_token_ || (byte_fallback_ && is_byte)) return;
    }
    const std::string merged = pair.left + pair.right;
    for (std::size_t at = merged.find(kSentencePieceSpace, 1); at != std::string::npos;
         at = merged.find(kSentencePieceSpace, at + 1)) {
      const std::string_view before = std::string_view(merged).substr(0, at);
      joins_marker_.insert(code_point_at(before, last_code_point_start(before)));
    }
  }
  breaks_at_marker_ = true;
}

std::int32_t BpeModel::id_of(const std::string& entry) const {
  const auto found = vocabulary_.find(entry);
  return found == vocabulary_.end() ? -1 : found->second;
}

const std::string* BpeModel::entry_of(std::int32_t id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= entries_.size()) return nullptr;
  return entries_[static_cast<std::size_t>(id)];
}

std::size_t BpeModel::next_break(std::string_view word, std::size_t from) const {
  if (!breaks_at_marker_) return word.size();
  for (std::size_t at = word.find(kSentencePieceSpace, from + 1); at != std::string_view::npos;
       at = word.find(kSentencePieceSpace, at + 1)) {
    const std::string_view before = word.substr(from, at - from);
    if (!joins_marker_.contains(code_point_at(before, last_code_point_start(before)))) return at;
  }
  return word.size();
}

void BpeModel::encode(std::string_view word, BpeScratch& scratch, std::vector<std::int32_t>& ids) const {
  if (word.size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw DataError("cannot tokenize a text with '" + file_ + "'", "one piece of it has 2 GiB or more");
  }
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t end = next_break(word, begin);
    encode_part(word.substr(begin, end - begin), scratch, ids);
    begin = end;
  }
  if (scratch.symbols.capacity() > kMostKeptSymbols) {
    scratch.symbols = {};
    scratch.queue = {};
  }
}

void BpeModel::encode_part(std::string_view part, BpeScratch& scratch, std::vector<std::int32_t>& ids) const {
  if (part.size() > kLongestWord) {
    throw DataError("cannot tokenize a text with '" + file_ + "'",
                    std::to_string(part.size()) + " bytes of it have no place to cut", "use text with blank lines");
  }
  const bool cached = WordCache::holds(part);
  if (cached && scratch.cache.append(part, ids)) return;
  const std::size_t begin = ids.size();
  const auto whole = ignore_merges_ ? whole_words_.find(std::string(part)) : whole_words_.end();
  if (whole != whole_words_.end()) {
    ids.push_back(whole->second);
  } else {
    split_into_symbols(part, scratch.symbols);
    if (merge_count_ > 0) merge_symbols(scratch);
    for (const Symbol& symbol : scratch.symbols) {
      if (symbol.id >= 0) ids.push_back(symbol.id);
    }
  }
  if (cached) scratch.cache.insert(part, std::span(ids).subspan(begin));
}

void BpeModel::split_into_symbols(std::string_view part, std::vector<Symbol>& symbols) const {
  SymbolList list(symbols);
  const auto fall_back = [&](std::string_view bytes) {
    if (!byte_fallback_) return false;
    const auto id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
    if (std::any_of(bytes.begin(), bytes.end(), [&](char byte) { return id(byte) < 0; })) return false;
    for (char byte : bytes) list.add(id(byte));
    return true;
  };
  const auto add = [&](std::int32_t id, std::string_view bytes) {
    if (id >= 0) {
      list.flush();
      list.add(id);
    } else if (!fall_back(bytes) && !unknown_token_.empty()) {
      if (unknown_ < 0) {
        throw DataError("cannot tokenize a text with '" + file_ + "'",
                        "its unk_token '" + unknown_token_ + "' is not in its vocabulary");
      }
      list.add_unknown(unknown_, fuse_unknown_);
    }
  };
  for (std::size_t position = 0; position < part.size();) {
    unsigned length = 1;
    if (byte_level_) {
      const auto byte = static_cast<unsigned char>(part[position]);
      std::string stand_in;
      if (byte_level_ids_[byte] < 0) append_utf8(stand_in, byte_code_points()[byte]);
      add(byte_level_ids_[byte], stand_in);
    } else {
      const char32_t c = code_point_at(part, position, &length);
      add(c < code_point_ids_.size() ? code_point_ids_[c] : -1, part.substr(position, length));
    }
    position += length;
  }
  list.flush();
}

void BpeModel::merge_symbols(BpeScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  std::vector<Candidate>& queue = scratch.queue;
  queue.clear();
  const auto candidate = [&](std::int32_t at) -> Candidate {
    const Symbol& left = symbols[static_cast<std::size_t>(at)];
    const MergeRule rule = merges_.find(left.id, symbols[static_cast<std::size_t>(left.next)].id);
    return {std::uint64_t{rule.rank} << 32 | static_cast<std::uint32_t>(at), rule.merged};
  };
  const auto push = [&](std::int32_t at) {
    queue.push_back(candidate(at));
    if (queue.back().merged < 0)
      queue.pop_back();
    else
      std::push_heap(queue.begin(), queue.end(), later);
  };
  for (std::size_t at = 0; at + 1 < symbols.size(); ++at) {
    const Candidate first = candidate(static_cast<std::int32_t>(at));
    if (first.merged >= 0) queue.push_back(first);
  }
  std::make_heap(queue.begin(), queue.end(), later);
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    const Candidate best = queue.back();
    queue.pop_back();
    const auto at = static_cast<std::int32_t>(best.order & 0xFFFFFFFF);
    Symbol& left = symbols[static_cast<std::size_t>(at)];
    // The pair may have changed since it was queued.
    if (left.id < 0 || left.next < 0 || candidate(at).merged != best.merged) continue;
    Symbol& right = symbols[static_cast<std::size_t>(left.next)];
    left.id = best.merged;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<std::size_t>(left.next)].previous = at;
    if (left.previous >= 0) push(left.previous);
    if (left.next >= 0) push(at);
  }
}

}  // namespace tercet::text
