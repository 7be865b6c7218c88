// Tokens to int8, and the product shared out over the threads of this rank.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "kernels/kernels.hpp"
#include "kernels/on_device.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/simd.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {

class Product {
 public:
  Product(const QuantizedTokens& x, const PackedMatrix& weight, InstructionSet set) : weight_(weight) {
    const std::int64_t blocks = weight.codes_.size(0);
    sums_ = group_sums(x);
    y_ = at::empty({x.values.size(0), blocks * kernels::kBlockRows}, at::kFloat);
    operands_ = weight.operands();
    operands_.x = x.values.const_data_ptr<std::int8_t>();
    operands_.x_scales = x.scales.const_data_ptr<float>();
    operands_.x_sums = sums_.const_data_ptr<std::int32_t>();
    operands_.tokens = x.values.size(0);
    operands_.x_stride = x.values.size(1);
    operands_.y = y_.mutable_data_ptr<float>();
    operands_.y_stride = y_.size(1);
    kernel_ = kernel_of(set);
  }

  at::Tensor run() const {
    const std::int64_t blocks = weight_.codes_.size(0);
    const std::int64_t work = operands_.chunks * kernels::kChunkBytes * operands_.tokens;  // of a block
    const std::int64_t grain = std::max<std::int64_t>(2, kGrainWork / std::max<std::int64_t>(1, work));
    at::parallel_for(0, blocks, grain, [&](std::int64_t begin, std::int64_t end) { kernel_(operands_, begin, end); });
    return y_.narrow(1, 0, weight_.rows_);
  }

 private:
  static constexpr std::int64_t kGrainWork = 1 << 17;  // bytes times tokens: below it a thread is not worth waking

  kernels::Kernel kernel_of(InstructionSet set) const {
    if (set == InstructionSet::kAvx512) return kernels::avx512_kernel(weight_.bits_);
    if (set == InstructionSet::kAvx2) return kernels::avx2_kernel(weight_.bits_);
    return kernels::portable_kernel(weight_.bits_);
  }

  at::Tensor group_sums(const QuantizedTokens& x) const;

  const PackedMatrix& weight_;
  at::Tensor sums_, y_;
  kernels::Operands operands_;
  kernels::Kernel kernel_ = nullptr;
};

namespace {

TERCET_CLONES void quantize_token(const float* x, std::int64_t width, std::int8_t* values, float* scale) {
  const float absmax =
      simd::largest_of<float>(width, kernels::kSmallestAbsmax, [&](std::int64_t i) { return std::fabs(x[i]); });
  const float to_int = 127.0f / absmax;
  for (std::int64_t i = 0; i < width; ++i) {
    float value = std::nearbyint(x[i] * to_int);
    value = value < -128.0f ? -128.0f : value;
    value = value > 127.0f ? 127.0f : value;
    values[i] = static_cast<std::int8_t>(value);
  }
  *scale = absmax / 127.0f;
}

TERCET_CLONES std::int32_t sum_of(const std::int8_t* values, std::int64_t count) {
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += values[i];
  return sum;
}

}  // namespace

at::Tensor Product::group_sums(const QuantizedTokens& x) const {
  const std::int64_t tokens = x.values.size(0), groups = weight_.groups(), width = weight_.group_columns_;
  at::Tensor sums = at::empty({tokens, groups}, at::kInt);
  const std::int8_t* values = x.values.const_data_ptr<std::int8_t>();
  auto* out = sums.mutable_data_ptr<std::int32_t>();
  for (std::int64_t token = 0; token < tokens; ++token) {
    for (std::int64_t group = 0; group < groups; ++group) {
      const std::int64_t begin = group * width, end = std::min(x.columns, begin + width);
      *out++ = sum_of(values + token * x.values.size(1) + begin, end - begin);
    }
  }
  return sums;
}

QuantizedTokens quantize_tokens(const at::Tensor& x) {
  const at::Tensor rows = x.detach().to(at::kFloat).contiguous();
  const std::int64_t tokens = rows.size(0), width = rows.size(1);
  if (!rows.is_cpu()) return DeviceProduct::quantize(rows);
  const std::int64_t stride = (width + kernels::kPadding - 1) / kernels::kPadding * kernels::kPadding;
  QuantizedTokens result{at::empty({tokens, stride}, at::kChar), at::empty({tokens}, at::kFloat), width};
  const float* in = rows.const_data_ptr<float>();
  auto* values = result.values.mutable_data_ptr<std::int8_t>();
  auto* scales = result.scales.mutable_data_ptr<float>();
  at::parallel_for(0, tokens, std::max<std::int64_t>(1, 32768 / stride), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      quantize_token(in + token * width, width, values + token * stride, scales + token);
      std::fill(values + token * stride + width, values + (token + 1) * stride, std::int8_t{0});
    }
  });
  return result;
}

at::Tensor multiply(const QuantizedTokens& x, const PackedMatrix& weight, InstructionSet set) {
  if (x.columns != weight.columns()) {
    throw DataError("tokens of " + std::to_string(x.columns) + " values meet a matrix of " +
                    std::to_string(weight.columns()) + " columns");
  }
  if (x.values.device() != weight.device()) {
    throw DataError("tokens on " + x.values.device().str() + " meet a matrix on " + weight.device().str());
  }
  if (!x.values.device().is_cpu()) return DeviceProduct::multiply(x, weight);
  return Product(x, weight, set).run();
}

}  // namespace tercet
