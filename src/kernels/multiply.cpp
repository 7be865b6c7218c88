// Tokens to int8, and the product shared out over the threads of this rank.
#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/kernels.hpp"
#include "kernels/on_device.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/simd.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {

// y = x [W_1; W_2; ...]' with the outputs side by side, each filled up to whole blocks.
class Product {
 public:
  Product(const QuantizedTokens& x, const std::vector<const PackedMatrix*>& weights, InstructionSet set) {
    std::int64_t blocks = 0;
    for (const PackedMatrix* weight : weights) blocks += weight->codes_.size(0);
    y_ = at::empty({x.values.size(0), blocks * kernels::kBlockRows}, at::kFloat);
    for (const PackedMatrix* weight : weights) add(x, *weight, set);
  }

  // [tokens, rows of all]
  at::Tensor run() const {
    const Part& last = parts_.back();
    std::int64_t most = 1;  // work of a block
    for (const Part& part : parts_) most = std::max(most, part.work);
    at::parallel_for(0, last.end(), std::max(2 * most, kGrainWork), [&](std::int64_t begin, std::int64_t end) {
      for (const Part& part : parts_) {
        const std::int64_t first = part.block_at(begin), behind = part.block_at(end);
        if (first < behind) part.kernel(part.operands, first, behind);
      }
    });
    const bool gapless = std::all_of(parts_.begin(), parts_.end() - 1,
                                     [](const Part& part) { return part.rows == part.blocks * kernels::kBlockRows; });
    if (gapless) return y_.narrow(1, 0, last.column + last.rows);
    std::vector<at::Tensor> pieces;
    for (const Part& part : parts_) pieces.push_back(y_.narrow(1, part.column, part.rows));
    return at::cat(pieces, 1);
  }

 private:
  // Of one matrix, in the row of all work: `work` for each of its blocks from `start` on, in bytes times tokens.
  struct Part {
    kernels::Operands operands;
    kernels::Kernel kernel = nullptr;
    at::Tensor sums;
    std::int64_t rows = 0, blocks = 0, column = 0, start = 0, work = 1;

    std::int64_t end() const { return start + blocks * work; }
    // The first block that begins at `place` or later: so each is in one part of the row of work alone.
    std::int64_t block_at(std::int64_t place) const {
      return std::clamp<std::int64_t>((std::max<std::int64_t>(0, place - start) + work - 1) / work, 0, blocks);
    }
  };

  static constexpr std::int64_t kGrainWork = 1 << 17;  // below it a thread is not worth waking

  void add(const QuantizedTokens& x, const PackedMatrix& weight, InstructionSet set) {
    Part part;
    part.rows = weight.rows_;
    part.blocks = weight.codes_.size(0);
    part.kernel = kernel_of(set, weight.bits_);
    part.sums = group_sums(x, weight);
    kernels::Operands& operands = part.operands = weight.operands();
    operands.x = x.values.const_data_ptr<std::int8_t>();
    operands.x_scales = x.scales.const_data_ptr<float>();
    operands.x_sums = part.sums.const_data_ptr<std::int32_t>();
    operands.tokens = x.values.size(0);
    operands.x_stride = x.values.size(1);
    part.work = std::max<std::int64_t>(1, operands.chunks * kernels::kChunkBytes * operands.tokens);
    if (!parts_.empty()) {
      part.start = parts_.back().end();
      part.column = parts_.back().column + parts_.back().blocks * kernels::kBlockRows;
    }
    operands.y = y_.mutable_data_ptr<float>() + part.column;
    operands.y_stride = y_.size(1);
    parts_.push_back(std::move(part));
  }

  static kernels::Kernel kernel_of(InstructionSet set, int bits) {
    if (set == InstructionSet::kAvx512) return kernels::avx512_kernel(bits);
    if (set == InstructionSet::kAvx2) return kernels::avx2_kernel(bits);
    return kernels::portable_kernel(bits);
  }

  static at::Tensor group_sums(const QuantizedTokens& x, const PackedMatrix& weight);

  at::Tensor y_;
  std::vector<Part> parts_;
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

at::Tensor Product::group_sums(const QuantizedTokens& x, const PackedMatrix& weight) {
  const std::int64_t tokens = x.values.size(0), groups = weight.groups(), width = weight.group_columns_;
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

namespace {

void check_together(const QuantizedTokens& x, const PackedMatrix& weight) {
  if (x.columns != weight.columns()) {
    throw DataError("tokens of " + std::to_string(x.columns) + " values meet a matrix of " +
                    std::to_string(weight.columns()) + " columns");
  }
  if (x.values.device() != weight.device()) {
    throw DataError("tokens on " + x.values.device().str() + " meet a matrix on " + weight.device().str());
  }
}

}  // namespace

at::Tensor multiply(const QuantizedTokens& x, const std::vector<const PackedMatrix*>& weights, InstructionSet set) {
  for (const PackedMatrix* weight : weights) check_together(x, *weight);
  if (x.values.device().is_cpu()) return Product(x, weights, set).run();
  std::vector<at::Tensor> outputs;
  for (const PackedMatrix* weight : weights) outputs.push_back(DeviceProduct::multiply(x, *weight));
  return outputs.size() == 1 ? outputs.front() : at::cat(outputs, 1);
}

at::Tensor multiply(const QuantizedTokens& x, const PackedMatrix& weight, InstructionSet set) {
  return multiply(x, std::vector<const PackedMatrix*>{&weight}, set);
}

}  // namespace tercet
