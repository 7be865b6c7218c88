// y = x W' with packed weights: integer arithmetic on the codes themselves, which are never unpacked to memory.
//
//   x  float32 [tokens, in], taken as int8 with one scale per token, as Decoder::set_activation_bits(8) simulates it
//   W  [out, in] in one of the grids of quant/format.hpp, symmetric or with zero points
//   y  float32 [tokens, out]:
//
//   y[t, r] = a_t  sum over groups g of  s[r, g] (sum over k in g of code[r, k] x[t, k]  -  zero[r, g] sum over k in g
//   of x[t, k])
//
// with the integer sums exact in int32 and the sum over groups in fp32, fused multiply-adds in the order of g. Every
// instruction set gives the same bits, and so does every number of threads and of tokens at once, and a GPU too.
// Against the dequantized model there is one difference: the product of a level and its scale is not rounded to fp16
// (formats of more than two bits).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tercet/quant/format.hpp"

namespace tercet {

namespace kernels {
struct Operands;
}

enum class InstructionSet { kPortable, kAvx2, kAvx512 };  // kAvx512: with VNNI
InstructionSet best_instruction_set();                    // that this processor has
std::string to_string(InstructionSet set);                // "portable", "avx2", "avx512"
// Of its name, or "auto" for the best. Throws ConfigError for what this processor lacks.
InstructionSet instruction_set(const std::string& name);
// The set of that name is what products take from now on (before: the best). Throws as instruction_set().
void use_instruction_set(const std::string& name);
InstructionSet used_instruction_set();

// What a matrix consists of in the order of the kernels: tensors that a file can hold. See PackedMatrix.
struct PackedParts {
  at::Tensor codes;        // uint8 [blocks, chunks, 64]
  at::Tensor scales;       // half [blocks, groups, 16]
  at::Tensor zero_points;  // int8 levels [blocks, groups, 16]; undefined: none
};
inline constexpr int kPartAlignment = 64;  // bytes, of where a part begins in memory
inline constexpr int kPartsVersion = 1;    // of the order; another order has another number

// A matrix in the order in which the kernels read it: blocks of 16 rows, one stream of bytes each. 64 bytes hold 16
// rows of 16, 8 or 4 columns at 2, 4 or 8 bits a code: column 4 f + j of row r is field f (counted from the lowest bit)
// of byte 4 r + j. Formats of other widths take the next one. Columns are filled up to whole 64 bytes, rows to whole
// blocks.
class PackedMatrix {
 public:
  // Why there are no kernels for a tensor stored so; empty: there are. (Groups that do not begin at whole 64 bytes, or
  // on a GPU at whole 64 columns; rows so long that a sum could leave int32; plain fp16.)
  static std::string refusal(const FormatSpec& spec, std::int64_t columns, const std::string& device = "cpu");
  // Throws DataError with the refusal. Memory: that of the codes, and 16 rows of levels.
  explicit PackedMatrix(const StoredTensor& stored);
  // Over the parts of a matrix [rows, columns] that was stored by `spec`, where they lie: nothing is copied. Throws
  // DataError with the refusal, or where type, shape or alignment of a part are others. Any codes are taken.
  PackedMatrix(const FormatSpec& spec, std::int64_t rows, std::int64_t columns, const PackedParts& parts);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t group_columns() const { return group_columns_; }  // the whole width: one scale a row
  std::int64_t groups() const { return (columns_ + group_columns_ - 1) / group_columns_; }
  std::uint64_t bytes() const;  // that a product reads: codes, scales, zero points
  PackedParts parts() const { return {codes_, scales_, zero_points_}; }
  // The scales and zero points that PackedMatrix(stored) has, without putting its codes into order (they are
  // undefined).
  static PackedParts tables_of(const StoredTensor& stored);
  // Types and shapes of the parts, without memory (on the meta device). Throws DataError with the refusal.
  static PackedParts unfilled_parts(const FormatSpec& spec, std::int64_t rows, std::int64_t columns);

  // The same matrix in the memory of a device, "cpu" or "cuda:0". Throws ConfigError where that has no kernels.
  PackedMatrix to(const std::string& device) const;
  at::Device device() const { return codes_.device(); }

  // The values of some rows, as dequantize() gives them: float32 [indices, columns]. `indices` int64 [n], on the
  // matrix's device; on a GPU they are not checked.
  at::Tensor values_of_rows(const at::Tensor& indices) const;

 private:
  friend class Product;
  friend class DeviceProduct;
  PackedMatrix(const FormatSpec& spec, std::int64_t rows, std::int64_t columns);  // without parts
  kernels::Operands operands() const;                                             // the matrix's part of them
  std::int64_t rows_ = 0, columns_ = 0, group_columns_ = 0;
  int bits_ = 2, zero_ = 1;  // of a code; code of level 0
  at::Tensor codes_;         // uint8 [blocks, chunks, 64]
  at::Tensor scales_;        // half [blocks, groups, 16]
  at::Tensor zero_points_;   // int8 levels [blocks, groups, 16]; undefined: none
};

// Tokens as int8 with a scale each: x ~ values * scale, values = round_half_even(x * 127 / max |x|).
struct QuantizedTokens {
  at::Tensor values;  // int8 [tokens, in filled up with zeros to a multiple of 16]
  at::Tensor scales;  // float32 [tokens]
  std::int64_t columns = 0;
  at::Tensor sums = {};  // on a GPU: int32 [tokens, padded / 64 rounded up], of 64 values each
};
QuantizedTokens quantize_tokens(const at::Tensor& x);  // where x is

// float32 [tokens, rows], where both are; `set` is of the CPU. Throws DataError when the widths or the devices differ.
at::Tensor multiply(const QuantizedTokens& x, const PackedMatrix& weight, InstructionSet set = used_instruction_set());
// The same of several matrices, one or more, with their rows side by side: threads wake once for all of them.
at::Tensor multiply(const QuantizedTokens& x, const std::vector<const PackedMatrix*>& weights,
                    InstructionSet set = used_instruction_set());

}  // namespace tercet
