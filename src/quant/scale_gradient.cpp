#include "tercet/quant/scale_gradient.hpp"

#include <ATen/TensorOperators.h>

#include "quant/scale_blocks.hpp"

namespace tercet {

at::Tensor scale_gradient(const at::Tensor& gradient, const QuantizedMatrix& levels, const FormatSpec& spec) {
  at::Tensor steps = quant::to_blocks(levels.levels.to(at::kFloat), spec);
  if (levels.zero_points.defined()) steps = steps - levels.zero_points.to(at::kFloat).reshape({-1, 1});
  const at::Tensor sums = (quant::to_blocks(gradient.to(at::kFloat), spec) * steps).sum(1);
  return sums.reshape(scale_shape(gradient.size(0), gradient.size(1), spec));
}

}  // namespace tercet
