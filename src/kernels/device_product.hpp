// What the kernels for GPUs are given. All pointers are device memory; work is queued on `stream`, nothing waits.
#pragma once

#include <cstdint>

#include "kernels/kernels.hpp"

namespace tercet::kernels {

using DeviceStream = void*;  // cudaStream_t

// A group's columns are a multiple of it, and values of a token are added up by so many when it is quantized.
inline constexpr std::int64_t kSumColumns = 64;

struct DeviceTokens {
  const float* x = nullptr;  // [tokens, width]
  std::int64_t tokens = 0, width = 0;
  std::int8_t* values = nullptr;  // [tokens, stride], filled up with zeros
  std::int64_t stride = 0;        // a multiple of kPadding
  float* scales = nullptr;        // [tokens]
  std::int32_t* sums = nullptr;   // [tokens, stride / kSumColumns rounded up]
};
void quantize_on_device(const DeviceTokens& tokens, DeviceStream stream);

// Operands as for a processor, but for x_sums, which is made here: from `sums`, with `group_sums` as room for [tokens,
// groups].
void multiply_on_device(const Operands& operands, std::int64_t group_columns, const std::int32_t* sums,
                        std::int32_t* group_sums, DeviceStream stream);

// Some rows as dequantize() gives them: float32 [count, columns].
void rows_on_device(const Operands& operands, std::int64_t group_columns, const std::int64_t* indices,
                    std::int64_t count, std::int64_t columns, float* out, DeviceStream stream);

}  // namespace tercet::kernels
