// The ternary rule on a GPU, with the sums of blocks.cpp in their order: 16 lanes, 256 values in fp32 before they join
// a total in fp64. So trits and scales are those of the CPU, to the bit.
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "quant/device_ternary.hpp"
#include "quant/ternary_constants.hpp"

namespace tercet::quant {
namespace {

constexpr int kLanes = 16;   // threads of a scale block
constexpr int kChunk = 256;  // values summed in fp32
constexpr int kThreads = 256;

// Of the 16 threads of a scale block, in the order of the lanes.
__device__ double total(float lane_sum, unsigned mates) {
  double sum = 0;
#pragma unroll
  for (int lane = 0; lane < kLanes; ++lane) sum += static_cast<double>(__shfl_sync(mates, lane_sum, lane, kLanes));
  return sum;
}

// total over i of term(i), in chunks.
template <class Term>
__device__ double sum_of(std::int64_t count, int lane, unsigned mates, const Term& term) {
  double sum = 0;
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const std::int64_t end = min(begin + kChunk, count);
    float mine = 0;
    for (std::int64_t i = begin + lane; i < end; i += kLanes) mine = __fadd_rn(mine, term(i));
    sum += total(mine, mates);
  }
  return sum;
}

__device__ float scale_of_block(const DeviceTernary& t, const float* weight, const float* column_weight,
                                std::int64_t block, std::int64_t count, int lane, unsigned mates, float mean,
                                float threshold) {
  if (t.absmean) return mean;
  const auto kept = [&](std::int64_t i) {
    const float h = column_weight == nullptr ? 1.0f : column_weight[i];
    return __fdiv_rn(fabsf(weight[i]), mean) > threshold ? h : 0.0f;
  };
  const double magnitude =
      sum_of(count, lane, mates, [&](std::int64_t i) { return __fmul_rn(kept(i), fabsf(weight[i])); });
  const double weights = sum_of(count, lane, mates, kept);
  const double factor = t.scale_factors == nullptr ? 1.0 : static_cast<double>(t.scale_factors[block]);
  return static_cast<float>(factor * (weights > 0 ? magnitude / weights : static_cast<double>(mean)));
}

__global__ void __launch_bounds__(kThreads) ternarize(DeviceTernary t) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const unsigned mates = 0xffffu << (threadIdx.x & kLanes);
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * (kThreads / kLanes) + threadIdx.x / kLanes;
  if (block >= t.rows * t.blocks_per_row) return;  // all 16 at once
  const std::int64_t column = block % t.blocks_per_row * t.block_columns;
  const std::int64_t count = min(t.block_columns, t.columns - column);
  const std::int64_t offset = block / t.blocks_per_row * t.columns + column;
  const float* weight = t.weight + offset;
  const double magnitude = sum_of(count, lane, mates, [&](std::int64_t i) { return fabsf(weight[i]); });
  const float mean = fmaxf(static_cast<float>(magnitude / static_cast<double>(count)), kSmallestMean);
  const float threshold = t.thresholds == nullptr ? kDefaultThreshold : t.thresholds[block];
  const float* column_weight = t.column_weight == nullptr ? nullptr : t.column_weight + column;
  const __half stored =
      __float2half_rn(scale_of_block(t, weight, column_weight, block, count, lane, mates, mean, threshold));
  const float scale = __half2float(stored);
  if (t.scales != nullptr && lane == 0) t.scales[block] = __half_as_ushort(stored);
  for (std::int64_t i = lane; i < count; i += kLanes) {
    const bool kept = __fdiv_rn(fabsf(weight[i]), mean) > threshold;
    if (t.out != nullptr) t.out[offset + i] = kept ? copysignf(scale, weight[i]) : 0.0f;
    if (t.trits != nullptr) t.trits[offset + i] = static_cast<std::int8_t>(kept ? (weight[i] < 0 ? -1 : 1) : 0);
  }
}

}  // namespace

void ternarize_on_device(const DeviceTernary& work, void* stream) {
  const std::int64_t blocks = work.rows * work.blocks_per_row, at_once = kThreads / kLanes;
  if (blocks == 0) return;
  ternarize<<<static_cast<unsigned>((blocks + at_once - 1) / at_once), kThreads, 0,
              static_cast<cudaStream_t>(stream)>>>(work);
  const cudaError_t code = cudaGetLastError();
  if (code != cudaSuccess) throw std::runtime_error(std::string("ternarizing on a GPU: ") + cudaGetErrorString(code));
}

}  // namespace tercet::quant
