// What a number format is: the one interface behind which each of them lies, and the table in which they are looked up.
// A new format is one file that derives from NumberFormat and one line in the table (src/quant/format.cpp).
//
//   ternary   levels -1, 0, 1 at 2 bits
//   ternary5  the same at 8/5 bits: five base-3 digits a byte
//   int2, int3, int4, int6, int8   levels of that many bits, symmetric or with a zero point
//   float16   plain values, no levels: norms, biases, whatever is skipped
//
// All but the last are grids: a matrix [out, in] is cut into scale blocks (format.hpp), and an element is
//   value = (level - zero_point) x scale, rounded to fp16
// with one fp16 scale and, if asymmetric, one zero point for each block.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tercet/quant/format.hpp"

namespace tercet {

struct LevelRange {
  int lowest = 0, highest = 0;
};

// How the codes of one row lie in its bytes. Code = level + zero. A row starts at a whole byte, and what is left of its
// last byte is zero.
struct CodeLayout {
  int bits = 0;                     // code j is at bits [j b, (j + 1) b) of the row, lowest bit first; 0: as digits
  int digits = 0;                   // base-3 digits of a byte, code 5 i + k with weight 3^k in byte i
  int zero = 0;                     // code of level 0
  at::ScalarType type = at::kByte;  // of the stored tensor and of zero points; int8: codes in two's complement
  std::int64_t row_bytes(std::int64_t columns) const {
    return digits > 0 ? (columns + digits - 1) / digits : (columns * bits + 7) / 8;
  }
  double bits_per_code() const { return digits > 0 ? 8.0 / digits : bits; }
};

class NumberFormat {
 public:
  virtual ~NumberFormat() = default;

  // --- what it is ---
  virtual std::string name() const = 0;  // in configurations and files
  virtual bool is_grid() const { return true; }
  virtual LevelRange levels(bool symmetric) const = 0;
  virtual CodeLayout layout() const = 0;
  virtual bool counts_zeros() const { return false; }       // zeros are a property that reports and gates speak of
  virtual bool takes_short_groups() const { return true; }  // the last group of a row may be shorter
  // Why this spec (of this format) makes no sense; empty: it does.
  virtual std::string refusal(const FormatSpec& spec) const = 0;

  // --- values; `weight` is [out, in] on any device, and so are the results ---
  // Levels, scales and zero points of a weight. Scales are decided in fp32 and rounded to fp16 before the levels are.
  virtual QuantizedMatrix quantize(const at::Tensor& weight, const FormatSpec& spec,
                                   const Calibration& calibration) const = 0;
  // dequantize(quantize(weight)) in one pass into `out` (float32), to the bit.
  virtual void fake_quantize(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration,
                             at::Tensor out) const = 0;
  // pack(quantize(weight)), to the bit, which some formats make without levels in between. Not of float16.
  virtual StoredTensor store(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration) const;
  virtual at::Tensor scales(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration) const;
  // What the rule `calibrated` adds, found once for a weight; `mean_square` (float32 [in]) may be undefined.
  virtual Calibration calibrate(const at::Tensor& weight, const FormatSpec& spec,
                                const at::Tensor& mean_square) const = 0;
  // See pin() in format.hpp.
  virtual PinnedMatrix pin(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                           const at::Tensor& mean_square) const = 0;
};

// Every format, in the order of the table.
const std::vector<const NumberFormat*>& number_formats();

}  // namespace tercet
