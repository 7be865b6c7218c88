#include "text/normalization_rules.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "text/message_reader.hpp"

namespace tercet::text {
namespace {

constexpr int kDeepestKey = 256;  // bytes of what a rule replaces
constexpr int kMostRules = 32;    // that begin at one place of a text: as many results as the library has room for

// A unit of the array (darts-clone): an edge's label, whether a rule ends after it, and where its successors lie.
struct Unit {
  std::uint32_t bits;
  std::uint32_t label() const { return bits & (1u << 31 | 0xFF); }
  bool ends_rule() const { return (bits >> 8 & 1) != 0; }
  std::uint32_t offset() const { return bits >> 10 << ((bits & 1u << 9) >> 6); }
  std::uint32_t value() const { return bits & ~(1u << 31); }
};

// Goes every way that a text could take. `base` is what the library xors with the next byte; from each base on, the
// most rules that end on one way are found once.
class Walk {
 public:
  Walk(std::vector<std::uint32_t> units, std::size_t replacements)
      : units_(std::move(units)), replacements_(replacements), most_(units_.size(), kUnknown) {}

  bool stays_inside() { return !units_.empty() && rules_from(at(0).offset(), 0) <= kMostRules; }

 private:
  static constexpr int kUnknown = -1;
  static constexpr int kOutside = 1 << 20;

  Unit at(std::uint32_t index) const { return {units_[index]}; }

  int rules_from(std::uint32_t base, int depth) {
    if ((base | 0xFF) >= units_.size() || depth > kDeepestKey) return kOutside;
    if (most_[base] != kUnknown) return most_[base];
    int most = 0;
    for (std::uint32_t byte = 0; byte < 256 && most < kOutside; ++byte) {
      const Unit unit = at(base ^ byte);
      if (unit.label() != byte) continue;
      const std::uint32_t next = base ^ byte ^ unit.offset();
      if (next >= units_.size() || (unit.ends_rule() && at(next).value() >= replacements_)) return kOutside;
      most = std::max(most, (unit.ends_rule() ? 1 : 0) + rules_from(next, depth + 1));
    }
    return most_[base] = most;
  }

  std::vector<std::uint32_t> units_;
  std::size_t replacements_;
  std::vector<int> most_;  // by base
};

// Size of the array in bytes, the array, the replacements as texts that end in a zero.
bool stays_inside(std::string_view table) {
  std::uint32_t bytes = 0;
  if (table.size() <= sizeof bytes) return false;
  std::memcpy(&bytes, table.data(), sizeof bytes);
  table.remove_prefix(sizeof bytes);
  if (bytes == 0 || bytes >= table.size() || bytes % sizeof(std::uint32_t) != 0) return false;
  std::vector<std::uint32_t> units(bytes / sizeof(std::uint32_t));
  std::memcpy(units.data(), table.data(), bytes);
  const std::string_view replacements = table.substr(bytes);
  return replacements.back() == '\0' && Walk(std::move(units), replacements.size()).stays_inside();
}

// The library builds an index of the pieces that throws for these where nothing may be thrown.
bool has_zero_byte(std::string_view piece_message) {
  MessageReader piece(piece_message);
  while (piece.next()) {
    if (piece.field() == 1 && piece.bytes().find('\0') != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

std::string problem_with_model(std::string_view model_proto) {
  MessageReader model(model_proto);
  while (model.next()) {
    if (model.field() == 1 && has_zero_byte(model.bytes())) return "one of its pieces has a zero byte";
    if (model.field() != 3 && model.field() != 5) continue;  // normalizer_spec, denormalizer_spec
    MessageReader rules(model.bytes());
    while (rules.next()) {
      if (rules.field() == 2 && !rules.bytes().empty() && !stays_inside(rules.bytes())) {
        return "its normalization rules lead out of their table";
      }
    }
    if (!rules.at_end()) return "its normalization rules cannot be read";
  }
  return model.at_end() ? "" : "it is cut off, or has parts of an unknown kind";
}

}  // namespace tercet::text
