#include "model/dtype.hpp"

#include <ATen/autocast_mode.h>

namespace tercet {

at::ScalarType compute_type(const at::Tensor& like) {
  const auto device = like.device().type();
  return at::autocast::is_autocast_enabled(device) ? at::autocast::get_autocast_dtype(device) : like.scalar_type();
}

}  // namespace tercet
