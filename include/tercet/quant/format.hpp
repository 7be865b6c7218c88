// Number formats in which a parameter is stored, and the exact value that the stored form stands for.
//
//   ternary   W ~ s T, T in {-1, 0, 1} at 2 bits (code = T + 1, four codes a byte, first in the low bits; rows padded
//             to whole bytes), scales fp16 per tensor, output channel or group of input columns
//   int8      W ~ s Q, Q in [-127, 127], one fp16 scale per row: embeddings and head
//   float16   one fp16 per element: norms, biases, whatever is skipped
//
// Everything that trains, packs, exports or evaluates goes through the same functions here, so that the artifact is
// the model that was trained, to the bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tercet {

enum class NumberFormat { kTernary, kInt8, kFloat16 };
enum class Granularity { kTensor, kChannel, kGroup };
enum class TernaryRule { kAbsmean, kLeastSquares, kCalibrated };

std::string to_string(NumberFormat format);           // "ternary", "int8", "float16"
std::string to_string(Granularity granularity);       // "tensor", "channel", "group"
NumberFormat number_format(const std::string& name);  // throws DataError
Granularity granularity(const std::string& name);     // throws DataError
std::string to_string(TernaryRule rule);              // "absmean", "least_squares", "calibrated"
TernaryRule ternary_rule(const std::string& name);    // throws DataError

struct FormatSpec {
  NumberFormat format = NumberFormat::kFloat16;
  Granularity granularity = Granularity::kGroup;  // ternary
  std::int64_t group_size = 128;                  // ternary by group; the last group of a row may be shorter
  TernaryRule rule = TernaryRule::kAbsmean;       // ternary
};

// A parameter as stored. Matrices are [out, in] (a Conv1D weight is transposed before and after by the caller).
struct StoredTensor {
  FormatSpec spec;
  std::vector<std::int64_t> shape;
  at::Tensor codes;   // ternary: uint8 [out, ceil(in / 4)]; int8: int8 [rows, columns]; float16: half, `shape`
  at::Tensor scales;  // half; ternary: [1], [out, 1] or [out, groups]; int8: [rows, 1]; float16: undefined
};

// Trits int8 [out, in] and fp16 scales of a weight [out, in].
struct TernaryTensor {
  at::Tensor trits;
  at::Tensor scales;
};

// What calibration adds to a ternary layer. Empty tensors: thresholds 0.5, columns of equal weight, factors 1.
struct TernaryCalibration {
  at::Tensor thresholds;   // float32, shape of the scales: multiples of the block's mean |w| under which a weight is 0
  at::Tensor mean_square;  // float32 [in]: mean square of each input, the weight of its column in the error
  at::Tensor scale_factors;  // float32, shape of the scales: what the calibrated rule's scale is multiplied by
};

// The ternary rule over each scale block (tensor, row or group), with m = max(mean |w|, 1e-5) in fp32:
//   absmean        T = clamp(round_half_even(w / m), -1, 1), s = m           (BitNet b1.58, Ma et al. 2024, eq. 1-3)
//   least_squares  the same T, s = sum |w| over non-zeros / count: minimises ||w - sT|| for these T
//   calibrated     T = sign(w) where |w| > t m, s = f sum h|w| / sum h over non-zeros, h = mean square of the input,
//                  f = the block's scale factor (1 unless pinned)
// s is rounded to fp16 after T is decided. `weight` is float32 or float64 on any device; the result is on its device.
TernaryTensor ternarize(const at::Tensor& weight, const FormatSpec& spec, const TernaryCalibration& calibration = {});

// The thresholds for the calibrated rule: per scale block the multiple in 0.30, 0.35 .. 0.70 that minimises
// sum_j h_j (w_j - s T_j)^2 with its best s. The upper end keeps sparsity below 45 % on bell-shaped weights.
at::Tensor calibrate_thresholds(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square);

// Masters from which training may start with trits and scales found otherwise, and the calibration under which the
// calibrated rule gives exactly those.
struct PinnedTernary {
  at::Tensor masters;  // float32 [out, in]
  TernaryCalibration calibration;
};
// Each weight of `reference` [out, in] is moved to the nearest value that lies, by a margin of 1e-3, on the side of
// s / 2 that its trit asks for: weights that round to their trit already stay as they are. Thresholds and factors of
// the result then turn the masters into `wanted`, which is checked: throws NumericError otherwise.
PinnedTernary pin_ternary(const at::Tensor& reference, const TernaryTensor& wanted, const FormatSpec& spec,
                          const at::Tensor& mean_square);

// Per-row symmetric int8: s = max|w| / 127 rounded to fp16.
StoredTensor store_int8(const at::Tensor& weight);
StoredTensor store_float16(const at::Tensor& value);
StoredTensor store_ternary(const TernaryTensor& ternary, const FormatSpec& spec);  // packs
StoredTensor store(const at::Tensor& value, const FormatSpec& spec, const TernaryCalibration& calibration = {});
// The scales of store(), without the work of packing.
at::Tensor storage_scales(const at::Tensor& value, const FormatSpec& spec, const TernaryCalibration& calibration = {});

at::Tensor unpack_trits(const StoredTensor& stored);  // int8 [out, in]
// The values that the stored form stands for, as float32, each exactly representable in fp16 (int8: Q * s rounded to
// fp16).
at::Tensor dequantize(const StoredTensor& stored);
// Codes and scales of a value of this shape in their types and sizes, without memory (on the meta device).
StoredTensor unfilled(const std::vector<std::int64_t>& shape, const FormatSpec& spec);
// Bytes of codes and scales.
std::uint64_t stored_bytes(const StoredTensor& stored);
// Scale blocks in one row: 1 by tensor and channel, ceil(in / group_size) by group.
std::int64_t blocks_per_row(std::int64_t columns, const FormatSpec& spec);
// Shape of the scales of a [rows, columns] matrix: [1], [rows, 1] or [rows, groups].
std::vector<std::int64_t> scale_shape(std::int64_t rows, std::int64_t columns, const FormatSpec& spec);

// What dequantize(store(value, spec, calibration)) gives, without packing, written into `out` (float32, same shape):
// one pass, used at every training step. The straight-through gradient is the identity: the gradient at `out` is taken
// as the gradient at `value` (Bengio et al. 2013).
void fake_quantize(const at::Tensor& value, const FormatSpec& spec, const TernaryCalibration& calibration,
                   at::Tensor out);

struct ErrorMeasures {
  double relative = 0;           // ||W - Q||_F / ||W||_F
  double weighted_relative = 0;  // columns weighted by mean_square; equal to relative without it
  double sparsity = 0;           // zeros among the trits (ternary), exact zeros otherwise
};
ErrorMeasures measure_error(const at::Tensor& weight, const at::Tensor& dequantized,
                            const at::Tensor& mean_square = {});

}  // namespace tercet
