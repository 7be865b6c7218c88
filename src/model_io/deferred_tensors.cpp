#include "tercet/model_io/deferred_tensors.hpp"

#include <ATen/ops/empty.h>

#include <utility>

#include "tercet/base/error.hpp"

namespace tercet {

at::Tensor DeferredTensors::add(const std::vector<std::int64_t>& shape, at::ScalarType type,
                                std::function<at::Tensor()> make) {
  at::Tensor placeholder = at::empty(shape, at::TensorOptions().device(at::kMeta).dtype(type));
  entries_[placeholder.storage().unsafeGetStorageImpl()] = {placeholder, std::move(make)};
  return placeholder;
}

at::Tensor DeferredTensors::values(const at::Tensor& tensor) const {
  if (!tensor.is_meta()) return tensor.cpu().contiguous();
  const auto entry = entries_.find(tensor.storage().unsafeGetStorageImpl());
  if (entry == entries_.end()) throw StoreError("a tensor without memory cannot be written");
  at::Tensor made = entry->second.make().cpu().contiguous();
  if (made.sizes() != tensor.sizes() || made.scalar_type() != tensor.scalar_type()) {
    throw StoreError("a tensor was announced with another shape or type than it has");
  }
  return made;
}

}  // namespace tercet
