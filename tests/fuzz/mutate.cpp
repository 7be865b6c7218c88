#include "mutate.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "tercet/base/random.hpp"

namespace tercet::fuzz {
namespace {

// What parsers trip over: borders of integers, brackets, bytes that are no UTF-8.
constexpr std::array<std::string_view, 16> kTokens = {std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff", 8),
                                                      std::string_view("\x00\x00\x00\x00\x00\x00\x00\x80", 8),
                                                      std::string_view("\xff\xff\xff\x7f", 4),
                                                      std::string_view("\0", 1),
                                                      "9223372036854775808",
                                                      "-1",
                                                      "1e999",
                                                      "NaN",
                                                      "null",
                                                      "[[[[",
                                                      "{\"a\":",
                                                      "\xed\xa0\x80",
                                                      "../",
                                                      "\"",
                                                      "\n",
                                                      "\xf4\x90\x80\x80"};

class Draws {
 public:
  explicit Draws(std::uint64_t index) : index_(index) {}
  std::uint64_t below(std::uint64_t bound) {
    return random_bits(/*seed=*/7, purpose_of("fuzz.mutate"), index_ * 64 + drawn_++) %
           std::max<std::uint64_t>(bound, 1);
  }

 private:
  std::uint64_t index_, drawn_ = 0;
};

void damage_once(std::string& bytes, Draws& draws) {
  if (bytes.empty()) bytes = " ";
  const std::size_t at = draws.below(bytes.size());
  switch (draws.below(7)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << draws.below(8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(draws.below(256));
      break;
    case 2:
      bytes.resize(at);
      break;
    case 3:
      bytes.erase(at, 1 + draws.below(16));
      break;
    case 4:
      bytes.insert(at, kTokens[draws.below(kTokens.size())]);
      break;
    case 5: {
      const std::string_view token = kTokens[draws.below(kTokens.size())];
      bytes.replace(at, token.size(), token);
      break;
    }
    default: {  // a part comes twice
      const std::string part = bytes.substr(at, 1 + draws.below(64));
      bytes.insert(draws.below(bytes.size()), part);
    }
  }
}

}  // namespace

std::string damaged(const std::string& whole, std::uint64_t index) {
  std::string bytes = whole;
  Draws draws(index);
  for (std::uint64_t times = 1 + draws.below(4); times > 0; --times) damage_once(bytes, draws);
  return bytes;
}

}  // namespace tercet::fuzz
