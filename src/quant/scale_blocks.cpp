#include "quant/scale_blocks.hpp"

#include <ATen/ops/constant_pad_nd.h>

namespace tercet::quant {

at::Tensor to_blocks(const at::Tensor& matrix, const FormatSpec& spec) {
  if (spec.granularity == Granularity::kTensor) return matrix.reshape({1, -1});
  if (spec.granularity == Granularity::kChannel) return matrix;
  const std::int64_t padding = blocks_per_row(matrix.size(1), spec) * spec.group_size - matrix.size(1);
  return at::constant_pad_nd(matrix, {0, padding}).reshape({-1, spec.group_size});
}

at::Tensor from_blocks(const at::Tensor& blocks, std::int64_t rows, std::int64_t columns) {
  return blocks.reshape({rows, -1}).slice(1, 0, columns).contiguous();
}

at::Tensor host_float(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU, at::kFloat).contiguous();
}

bool on_host(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat && tensor.is_contiguous();
}

}  // namespace tercet::quant
