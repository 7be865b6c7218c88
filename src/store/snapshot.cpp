#include "store/snapshot.hpp"

#include <ATen/ops/empty.h>

#include <set>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"

namespace tercet::store {
namespace {

void require_storable(const StateTensors& tensors) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    const std::string what = "cannot save tensor '" + name + "' in a checkpoint";
    if (name.empty() || !names.insert(name).second) throw StoreError(what, "its name is empty or comes twice");
    if (!tensor.defined() || !tensor.is_contiguous()) throw StoreError(what, "it is not a contiguous tensor");
    if (dtype_name(tensor.scalar_type()).empty()) {
      throw StoreError(what, "its dtype is not float32, float64 or int64");
    }
  }
}

// Names, shapes and dtypes of what a rank wants to save: the same on all, or the slices would not fit together.
std::string layout_hash(std::int64_t step, const StateTensors& tensors) {
  Sha256 hash;
  hash.update(std::to_string(step));
  for (const auto& [name, tensor] : tensors) {
    hash.update(nlohmann::json{name, tensor.sizes().vec(), dtype_name(tensor.scalar_type())}.dump());
  }
  return hash.hex();
}

at::Tensor copied(const at::Tensor& source, at::Tensor memory) {
  if (!memory.defined() || memory.sizes() != source.sizes() || memory.scalar_type() != source.scalar_type()) {
    memory = at::empty(source.sizes(), at::TensorOptions(source.scalar_type()).pinned_memory(source.is_cuda()));
  }
  memory.copy_(source);
  return memory;
}

}  // namespace

void Snapshot::take(const Communicator& comm, std::int64_t step, const StateTensors& tensors,
                    const nlohmann::json& metadata, bool copy, std::int64_t slice_bytes) {
  manifest = {step, comm.size(), 0, describe(tensors, slice_bytes), metadata};
  std::vector<Piece> former = std::exchange(pieces, {});
  for (const Assignment& one : in_runs(manifest.tensors, comm.size())) {
    if (one.rank != comm.rank()) continue;
    const Slice& slice = manifest.tensors[one.tensor].slices[one.slice];
    const at::Tensor& whole = tensors[one.tensor].second;
    at::Tensor elements = whole.detach().view({-1}).narrow(0, slice.offset, slice.count);
    if (copy || !elements.is_cpu()) {
      at::Tensor memory = pieces.size() < former.size() ? std::move(former[pieces.size()].elements) : at::Tensor();
      elements = copied(elements, std::move(memory));
    }
    pieces.push_back({one.tensor, one.slice, std::move(elements)});
  }
}

void require_same_state(Communicator& comm, std::int64_t step, const StateTensors& tensors) {
  std::string mine;
  on_every_rank(comm, [&] {
    require_storable(tensors);
    if (step < 0) throw StoreError("cannot save a checkpoint", "step " + std::to_string(step) + " is negative");
    mine = layout_hash(step, tensors);
  });
  const auto hashes = comm.all_gather(mine);
  for (std::size_t rank = 1; rank < hashes.size(); ++rank) {
    if (hashes[rank] != hashes[0]) {
      throw StoreError("cannot save a checkpoint", "rank " + std::to_string(rank) + " holds other tensors than rank 0");
    }
  }
}

}  // namespace tercet::store
