// Ids of words already seen. Text repeats its words, so most of them are looked up instead of merged again.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tercet::text {

// Open addressing over arenas of bytes and ids; emptied when full, so its size is bounded. Not thread-safe.
class WordCache {
 public:
  WordCache();

  static bool holds(std::string_view word) { return word.size() <= kLongestWord; }

  // Appends the ids of a word to `ids`; false if it is not here.
  bool append(std::string_view word, std::vector<std::int32_t>& ids) const;
  void insert(std::string_view word, std::span<const std::int32_t> ids);

 private:
  static constexpr std::size_t kLongestWord = 64;
  static constexpr std::size_t kSlots = std::size_t{1} << 18;
  static constexpr std::size_t kMostWords = kSlots / 2;

  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t bytes_at = 0, ids_at = 0;
    std::uint16_t bytes = 0, ids = 0;
    bool used = false;
  };
  std::size_t slot_of(std::string_view word, std::uint64_t hash) const;

  std::vector<Entry> entries_;
  std::string bytes_;
  std::vector<std::int32_t> ids_;
  std::size_t words_ = 0;
};

}  // namespace tercet::text
