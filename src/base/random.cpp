#include "tercet/base/random.hpp"

#include <bit>

namespace tercet {
namespace {

constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// One pass of the Feistel network over the smallest even number of bits that covers `size`.
std::uint64_t feistel(std::uint64_t seed, std::uint64_t purpose, unsigned half_bits, std::uint64_t value) {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  std::uint64_t left = value >> half_bits;
  std::uint64_t right = value & mask;
  for (std::uint64_t round = 0; round < 4; ++round) {
    const std::uint64_t next = left ^ (random_bits(seed, purpose + round, right) & mask);
    left = right;
    right = next;
  }
  return left << half_bits | right;
}

}  // namespace

std::uint64_t random_bits(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index) {
  return mix(mix(mix(seed) ^ purpose) ^ index);
}

double random_uniform(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index) {
  return static_cast<double>(random_bits(seed, purpose, index) >> 11) * 0x1.0p-53;
}

std::uint64_t permuted_index(std::uint64_t seed, std::uint64_t purpose, std::uint64_t size, std::uint64_t index) {
  if (size <= 1) return 0;
  const unsigned half_bits = (static_cast<unsigned>(std::bit_width(size - 1)) + 1) / 2;
  std::uint64_t value = index;
  do {
    value = feistel(seed, purpose, half_bits, value);
  } while (value >= size);
  return value;
}

}  // namespace tercet
