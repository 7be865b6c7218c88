// Products where the operands lie in the memory of a GPU.
#pragma once

#include <string>

#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {

class DeviceProduct {
 public:
  static QuantizedTokens quantize(const at::Tensor& rows);  // float32 [tokens, in]
  static at::Tensor multiply(const QuantizedTokens& x, const PackedMatrix& weight);
  static at::Tensor rows(const PackedMatrix& weight, const at::Tensor& indices);
};

namespace kernels {

// Why that GPU has no kernels for groups of that width; empty: it has.
std::string device_refusal(const std::string& device, std::int64_t group_columns, std::int64_t columns);

}  // namespace kernels
}  // namespace tercet
