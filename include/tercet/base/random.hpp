// Random numbers as a pure function of (seed, purpose, index): no state, so any rank can find any draw.
#pragma once

#include <cstdint>
#include <string_view>

namespace tercet {

// 64 uniform bits. splitmix64's finalizer (Steele, Lea, Flood 2014) over the mixed key.
std::uint64_t random_bits(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index);

// A purpose from its name, e.g. purpose_of("pretrain.init"). FNV-1a.
constexpr std::uint64_t purpose_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

// Uniform in [0, 1).
double random_uniform(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index);

// A permutation of [0, size) evaluated at one index, by a 4-round Feistel network with cycle walking.
std::uint64_t permuted_index(std::uint64_t seed, std::uint64_t purpose, std::uint64_t size, std::uint64_t index);

}  // namespace tercet
