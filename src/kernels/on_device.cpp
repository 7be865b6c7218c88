#include "kernels/on_device.hpp"

#include "tercet/base/error.hpp"
#include "tercet/quant/gpu_support.hpp"

#if TERCET_HAVE_CUDA
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels/device_product.hpp"
#endif

namespace tercet {

#if TERCET_HAVE_CUDA

namespace {

kernels::DeviceStream stream_of(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.get_device()).stream();
}

}  // namespace

QuantizedTokens DeviceProduct::quantize(const at::Tensor& rows) {
  const c10::cuda::CUDAGuard guard(rows.device());
  const std::int64_t tokens = rows.size(0), width = rows.size(1);
  const auto whole = [](std::int64_t count, std::int64_t unit) { return (count + unit - 1) / unit; };
  const std::int64_t stride = whole(width, kernels::kPadding) * kernels::kPadding;
  const auto make = [&](at::IntArrayRef shape, at::ScalarType type) {
    return at::empty(shape, rows.options().dtype(type));
  };
  QuantizedTokens result{make({tokens, stride}, at::kChar), make({tokens}, at::kFloat), width,
                         make({tokens, whole(stride, kernels::kSumColumns)}, at::kInt)};
  if (tokens == 0) return result;
  kernels::quantize_on_device(
      {rows.const_data_ptr<float>(), tokens, width, result.values.mutable_data_ptr<std::int8_t>(), stride,
       result.scales.mutable_data_ptr<float>(), result.sums.mutable_data_ptr<std::int32_t>()},
      stream_of(rows));
  return result;
}

at::Tensor DeviceProduct::multiply(const QuantizedTokens& x, const PackedMatrix& weight) {
  const c10::cuda::CUDAGuard guard(x.values.device());
  kernels::Operands operands = weight.operands();
  operands.x = x.values.const_data_ptr<std::int8_t>();
  operands.x_scales = x.scales.const_data_ptr<float>();
  operands.tokens = x.values.size(0);
  operands.x_stride = x.values.size(1);
  operands.y_stride = weight.codes_.size(0) * kernels::kBlockRows;
  at::Tensor y = at::empty({operands.tokens, operands.y_stride}, x.scales.options());
  if (operands.tokens > 0) {
    operands.y = y.mutable_data_ptr<float>();
    at::Tensor sums = at::empty({operands.tokens, operands.groups}, x.sums.options());
    kernels::multiply_on_device(operands, weight.group_columns_, x.sums.const_data_ptr<std::int32_t>(),
                                sums.mutable_data_ptr<std::int32_t>(), stream_of(y));
  }
  return y.narrow(1, 0, weight.rows_);
}

at::Tensor DeviceProduct::rows(const PackedMatrix& weight, const at::Tensor& indices) {
  const c10::cuda::CUDAGuard guard(weight.codes_.device());
  at::Tensor values = at::empty({indices.numel(), weight.columns_}, weight.scales_.options().dtype(at::kFloat));
  if (indices.numel() == 0) return values;
  kernels::rows_on_device(weight.operands(), weight.group_columns_, indices.const_data_ptr<std::int64_t>(),
                          indices.numel(), weight.columns_, values.mutable_data_ptr<float>(), stream_of(values));
  return values;
}

std::string kernels::device_refusal(const std::string& device, std::int64_t group_columns, std::int64_t columns) {
  if (!has_our_kernels(at::Device(device).index())) return "this GPU is older than compute capability 8.0";
  if (group_columns >= columns || group_columns % kSumColumns == 0) return "";
  return "groups of " + std::to_string(group_columns) + " are no multiple of " + std::to_string(kSumColumns);
}

#else

namespace {

[[noreturn]] void no_cuda() {
  throw ConfigError("packed weights cannot be multiplied on a GPU", "this build has no CUDA",
                    "configure with -DTERCET_CUDA=ON, or choose the CPU");
}

}  // namespace

QuantizedTokens DeviceProduct::quantize(const at::Tensor&) {
  no_cuda();
}
at::Tensor DeviceProduct::multiply(const QuantizedTokens&, const PackedMatrix&) {
  no_cuda();
}
at::Tensor DeviceProduct::rows(const PackedMatrix&, const at::Tensor&) {
  no_cuda();
}
std::string kernels::device_refusal(const std::string&, std::int64_t, std::int64_t) {
  return "this build has no CUDA";
}

#endif

}  // namespace tercet
