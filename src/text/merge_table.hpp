// Merge rules in a flat hash table: a pair of ids to its rank and the id of the merged token.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace tercet::text {

struct MergeRule {
  std::uint32_t rank = 0;
  std::int32_t merged = -1;  // -1: no such rule
};

class MergeTable {
 public:
  explicit MergeTable(std::size_t rules = 0) {
    const std::size_t slots = std::bit_ceil(2 * rules + 2);
    shift_ = 64 - std::countr_zero(slots);
    keys_.assign(slots, kEmpty);
    rules_.resize(slots);
  }

  // A later rule for the same pair replaces the earlier one. At most as many pairs as given to the constructor.
  void insert(std::int32_t left, std::int32_t right, MergeRule rule) {
    const std::size_t slot = slot_of(key_of(left, right));
    keys_[slot] = key_of(left, right);
    rules_[slot] = rule;
  }

  MergeRule find(std::int32_t left, std::int32_t right) const { return rules_[slot_of(key_of(left, right))]; }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // ids are not negative

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }

  std::size_t slot_of(std::uint64_t key) const {
    std::size_t slot = (key * 0x9e3779b97f4a7c15ULL ^ key) * 0x9e3779b97f4a7c15ULL >> shift_;
    while (keys_[slot] != key && keys_[slot] != kEmpty) slot = (slot + 1) & (keys_.size() - 1);
    return slot;
  }

  int shift_ = 0;
  std::vector<std::uint64_t> keys_;
  std::vector<MergeRule> rules_;
};

}  // namespace tercet::text
