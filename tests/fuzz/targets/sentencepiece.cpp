// tokenizer.model. libsentencepiece itself is not instrumented; what it makes of a damaged model must be refused or
// harmless.
#include "target.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet::fuzz {
namespace {

// The fields of sentencepiece_model.proto that a small BPE model needs, in the wire format of protocol buffers.
class Message {
 public:
  Message& number(unsigned field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
    return *this;
  }
  Message& bytes(unsigned field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& real(unsigned field, float value) {
    varint(field << 3 | 5);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  const std::string& text() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

enum class Kind { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

// Normalization rules by hand: "a" becomes "an". Units of the double array: docs of darts-clone, or
// text/normalization_rules.
std::string rules_table() {
  std::vector<std::uint32_t> units(0x300, 1u << 31);  // no edge
  units[0] = 0x100u << 10;                            // successors of the root at 0x100 xor byte
  units[0x100 ^ 'a'] = (0x100u ^ 'a' ^ 0x200u) << 10 | 1u << 8 | 'a';
  units[0x200] = 1u << 31;  // the rule's replacement is at 0
  const auto bytes = static_cast<std::uint32_t>(units.size() * sizeof units[0]);
  std::string table(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  table.append(reinterpret_cast<const char*>(units.data()), bytes);
  return table.append("an", 3);
}

std::string model(int type, const std::string& rules, const std::string& table = "") {
  Message all;
  float score = 0;
  const auto piece = [&](std::string_view text, Kind kind) {
    all.bytes(1, Message().bytes(1, text).real(2, score--).number(3, static_cast<std::uint64_t>(kind)).text());
  };
  piece("<unk>", Kind::kUnknown);
  piece("<s>", Kind::kControl);
  piece("</s>", Kind::kControl);
  for (const char* text : {"▁a", "an", "▁an", "and", "▁", "a", "n", "d", "t"}) piece(text, Kind::kNormal);
  all.bytes(2, Message().number(3, static_cast<std::uint64_t>(type)).number(35, 0).text());
  Message normalizer;
  normalizer.bytes(1, rules).number(3, 1).number(4, 1).number(5, 1);
  if (!table.empty()) normalizer.bytes(2, table);
  all.bytes(3, normalizer.text());
  return all.text();
}

std::vector<std::string> seeds() {
  return {model(2, "identity"), model(1, "identity"), model(2, "ours", rules_table()), model(1, "ours", rules_table())};
}

void read(std::string_view input) {
  scratch_file("sentencepiece/tokenizer.model", input);
  const auto tokenizer = open_tokenizer(scratch() / "sentencepiece");
  std::vector<std::int32_t> ids;
  tokenizer->encode("an ant and a naïve ﬁsh\n", ids);
  for (std::int32_t id = -1; id < 16; ++id) ids.push_back(id);
  (void)tokenizer->decode(ids);
}

const Registration kTarget({"sentencepiece", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
