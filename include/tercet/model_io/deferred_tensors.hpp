// Tensors that are made when they are written, one at a time, so that a large export is never in memory as a whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <vector>

namespace tercet {

class DeferredTensors {
 public:
  // A tensor on the meta device: it has shape and type but no memory. It may stand in several places (as a tied head
  // does) and is then written once. `make` is called when a writer reaches it and must give that shape and type.
  at::Tensor add(const std::vector<std::int64_t>& shape, at::ScalarType type, std::function<at::Tensor()> make);

  // The tensor on the host, contiguous: made now if it came from add(). Throws StoreError when `make` broke its word.
  at::Tensor values(const at::Tensor& tensor) const;

 private:
  struct Entry {
    at::Tensor placeholder;
    std::function<at::Tensor()> make;
  };
  std::map<const void*, Entry> entries_;  // by storage
};

}  // namespace tercet
