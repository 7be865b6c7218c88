#include "text/word_cache.hpp"

#include <cstring>
#include <limits>

namespace tercet::text {
namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
  return hash ^ hash >> 29;
}

std::uint64_t hash_of(std::string_view word) {
  std::uint64_t hash = word.size();
  std::size_t position = 0;
  for (; position + 8 <= word.size(); position += 8) {
    std::uint64_t part = 0;
    std::memcpy(&part, word.data() + position, 8);
    hash = mix(hash, part);
  }
  std::uint64_t rest = 0;
  if (position < word.size()) std::memcpy(&rest, word.data() + position, word.size() - position);
  return mix(mix(hash, rest), 0);
}

}  // namespace

WordCache::WordCache() : entries_(kSlots) {}

std::size_t WordCache::slot_of(std::string_view word, std::uint64_t hash) const {
  std::size_t slot = hash & (kSlots - 1);
  for (; entries_[slot].used; slot = (slot + 1) & (kSlots - 1)) {
    const Entry& entry = entries_[slot];
    if (entry.hash == hash && word == std::string_view(bytes_).substr(entry.bytes_at, entry.bytes)) break;
  }
  return slot;
}

bool WordCache::append(std::string_view word, std::vector<std::int32_t>& ids) const {
  const Entry& entry = entries_[slot_of(word, hash_of(word))];
  if (!entry.used) return false;
  const auto begin = ids_.begin() + entry.ids_at;
  ids.insert(ids.end(), begin, begin + entry.ids);
  return true;
}

void WordCache::insert(std::string_view word, std::span<const std::int32_t> ids) {
  if (ids.size() > std::numeric_limits<decltype(Entry::ids)>::max()) return;
  if (words_ == kMostWords) {
    entries_.assign(kSlots, Entry{});
    bytes_.clear();
    ids_.clear();
    words_ = 0;
  }
  const std::uint64_t hash = hash_of(word);
  Entry& entry = entries_[slot_of(word, hash)];
  if (entry.used) return;
  entry = {hash,
           static_cast<std::uint32_t>(bytes_.size()),
           static_cast<std::uint32_t>(ids_.size()),
           static_cast<std::uint16_t>(word.size()),
           static_cast<std::uint16_t>(ids.size()),
           true};
  bytes_ += word;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++words_;
}

}  // namespace tercet::text
