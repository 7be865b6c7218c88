#include "text/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tercet/base/error.hpp"
#include "tercet/text/dataset.hpp"

namespace tercet {
namespace text {
namespace {

constexpr std::uint64_t kWhole = std::uint64_t{1} << 32;

// floor(n * share / 2^32), exact for all n.
std::uint64_t stayed_before(std::uint64_t n, std::uint64_t share) {
  return (n >> 32) * share + ((n & (kWhole - 1)) * share >> 32);
}

}  // namespace

std::vector<std::uint64_t> shares_of_weights(const std::vector<double>& weights) {
  std::vector<std::uint64_t> shares;
  for (auto weight = weights.begin(); weight != weights.end(); ++weight) {
    const double rest = std::accumulate(weight, weights.end(), 0.0);
    const double share = std::round(*weight / rest * static_cast<double>(kWhole));
    shares.push_back(std::clamp<std::uint64_t>(static_cast<std::uint64_t>(share), 1, kWhole));
  }
  if (!shares.empty()) shares.back() = kWhole;
  return shares;
}

Draw draw_of(std::uint64_t index, const std::vector<std::uint64_t>& shares) {
  std::uint64_t number = index;
  for (std::size_t source = 0; source + 1 < shares.size(); ++source) {
    const std::uint64_t before = stayed_before(number, shares[source]);
    if (stayed_before(number + 1, shares[source]) != before) return {source, before};
    number -= before;
  }
  return {shares.size() - 1, number};
}

}  // namespace text

ShardRange shard_range(std::uint64_t items, std::uint64_t shards, std::uint64_t shard) {
  if (shard >= shards) {
    throw ConfigError("there is no shard " + std::to_string(shard), "there are " + std::to_string(shards));
  }
  const std::uint64_t base = items / shards;
  const std::uint64_t longer = items % shards;  // the first shards have one item more
  const std::uint64_t begin = shard * base + std::min(shard, longer);
  return {begin, begin + base + (shard < longer ? 1 : 0)};
}

ShardRange shards_of_rank(std::uint64_t shards, int rank, int world_size) {
  if (rank < 0 || rank >= world_size) {
    throw ConfigError("there is no rank " + std::to_string(rank), "there are " + std::to_string(world_size));
  }
  return shard_range(shards, static_cast<std::uint64_t>(world_size), static_cast<std::uint64_t>(rank));
}

}  // namespace tercet
