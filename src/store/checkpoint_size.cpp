#include "tercet/store/checkpoint_size.hpp"

#include <algorithm>
#include <vector>

#include "store/manifest.hpp"

namespace tercet {
namespace {

// HDF5's own bytes: the file's head, and for each dataset its header, the attribute with its shape and its name.
constexpr std::uint64_t kFileHead = 1500, kDatasetHead = 340;

std::uint64_t bytes_of(const store::TensorEntry& tensor, const store::Slice& slice) {
  return static_cast<std::uint64_t>(slice.count * tensor.element_bytes());
}

// Every slice is named once, in the order of the file, and the slices of a tensor cover it.
bool is_exact(const std::vector<store::TensorEntry>& tensors, const std::vector<store::Assignment>& assignments,
              int ranks) {
  std::size_t next = 0;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    std::int64_t covered = 0;
    for (std::size_t s = 0; s < tensors[t].slices.size(); ++s, ++next) {
      if (next >= assignments.size() || assignments[next].tensor != t || assignments[next].slice != s) return false;
      if (assignments[next].rank < 0 || assignments[next].rank >= ranks) return false;
      if (tensors[t].slices[s].offset != covered) return false;
      covered += tensors[t].slices[s].count;
    }
    if (covered != tensors[t].element_count()) return false;
  }
  return next == assignments.size();
}

std::uint64_t manifest_bytes(const std::vector<store::TensorEntry>& tensors, int ranks) {
  store::Manifest manifest;
  manifest.world_size = ranks;
  manifest.tensors = tensors;
  for (store::TensorEntry& tensor : manifest.tensors) {
    for (store::Slice& slice : tensor.slices) slice.xxh3.assign(32, '0');
  }
  return store::to_text(manifest).size();
}

}  // namespace

CheckpointSize checkpoint_size(const StateTensors& layout, int world_size) {
  const std::vector<store::TensorEntry> tensors = store::describe(layout);
  const std::vector<store::Assignment> assignments = store::in_runs(tensors, world_size);
  std::vector<std::uint64_t> bytes_of_rank(static_cast<std::size_t>(world_size), 0);
  CheckpointSize size;
  size.exact = is_exact(tensors, assignments, world_size);
  for (const store::Assignment& each : assignments) {
    const store::TensorEntry& tensor = tensors[each.tensor];
    bytes_of_rank.at(static_cast<std::size_t>(each.rank)) += bytes_of(tensor, tensor.slices[each.slice]);
  }
  size.tensors = tensors.size();
  size.state_bytes = kFileHead;
  for (const auto& [name, tensor] : layout) size.state_bytes += tensor.nbytes() + kDatasetHead + name.size();
  const auto [least, most] = std::minmax_element(bytes_of_rank.begin(), bytes_of_rank.end());
  size.least_of_rank = *least;
  size.most_of_rank = *most;
  size.manifest_bytes = manifest_bytes(tensors, world_size);
  return size;
}

}  // namespace tercet
