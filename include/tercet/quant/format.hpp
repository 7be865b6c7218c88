// How a parameter is stored, and the exact value that the stored form stands for. Formats: quant/number_format.hpp.
//
// Everything that trains, packs, exports or evaluates goes through the same functions here, so that the artifact is
// the model that was trained, to the bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tercet {

class NumberFormat;
const NumberFormat* number_format(const std::string& name);  // e.g. "ternary", "int4", "float16"; throws DataError

enum class Granularity { kTensor, kChannel, kGroup };
// How scales follow from weights: ternary knows absmean, least_squares, calibrated; integers min_max, calibrated.
enum class ScaleRule { kAbsmean, kLeastSquares, kMinMax, kCalibrated };

std::string to_string(Granularity granularity);    // "tensor", "channel", "group"
Granularity granularity(const std::string& name);  // throws DataError
std::string to_string(ScaleRule rule);             // "absmean", "least_squares", "min_max", "calibrated"
ScaleRule scale_rule(const std::string& name);     // throws DataError

struct FormatSpec {
  const NumberFormat* format = number_format("float16");  // never null
  // The rest is for grids.
  Granularity granularity = Granularity::kGroup;
  std::int64_t group_size = 128;  // by group; the last group of a row may be shorter
  ScaleRule rule = ScaleRule::kAbsmean;
  bool symmetric = true;  // no zero points
};

// A parameter as stored. Matrices are [out, in] (a Conv1D weight is transposed before and after by the caller).
struct StoredTensor {
  FormatSpec spec;
  std::vector<std::int64_t> shape;
  at::Tensor codes;        // grids: packed by rows (CodeLayout), [out, bytes]; float16: half, `shape`
  at::Tensor scales;       // half; [1], [out, 1] or [out, groups]; float16: undefined
  at::Tensor zero_points;  // codes, of the scales' shape and the codes' type; symmetric or float16: undefined
};

// A matrix on its grid.
struct QuantizedMatrix {
  at::Tensor levels;       // int8 [out, in]
  at::Tensor scales;       // half, scale_shape; negative ones mirror the grid (symmetric integers below 8 bits)
  at::Tensor zero_points;  // int8 levels, scale_shape; undefined: 0
};

// What is known about a layer besides its weights. Empty tensors: thresholds 0.5, columns of equal weight, factors 1,
// scales by the rule.
struct Calibration {
  at::Tensor thresholds;   // ternary: float32, scale_shape: multiples of the block's mean |w| under which a weight is 0
  at::Tensor mean_square;  // float32 [in]: mean square of each input, the weight of its column in the error
  // float32, scale_shape. Ternary: what the calibrated rule's scale is multiplied by. Integers: what the range of a
  // block is multiplied by before it is cut into levels; negative: mirrored.
  at::Tensor scale_factors;
  // Fixed scales (float32, scale_shape, rounded to fp16 where they are used) and zero points (int8 levels): nothing is
  // fitted to the weights any more, under any rule, and level = clamp(round_half_even(w / s) + zero_point).
  at::Tensor scales, zero_points;
};

// Ternary over each scale block (tensor, row or group), with m = max(mean |w|, 1e-5) in fp32:
//   absmean        T = clamp(round_half_even(w / m), -1, 1), s = m           (BitNet b1.58, Ma et al. 2024, eq. 1-3)
//   least_squares  the same T, s = sum |w| over non-zeros / count: minimises ||w - sT|| for these T
//   calibrated     T = sign(w) where |w| > t m, s = f sum h|w| / sum h over non-zeros, h = mean square of the input,
//                  f = the block's scale factor (1 unless pinned)
// s is rounded to fp16 after T is decided.
//
// Integers of b bits, with lo = min(w, 0), hi = max(w, 0) and f the scale factor (1 but for `calibrated`):
//   symmetric, b < 8  levels -2^(b-1) to 2^(b-1) - 1, s = f e / -2^(b-1) where e is the one of lo, hi with the larger
//                     magnitude. s has a sign, so that the level without a counterpart lies on the side of the block
//                     that reaches further (the scale of llama.cpp's Q4_0: d = max / -8). -1, 0, 1 would leave out
//                     one level in four.
//   symmetric, b = 8  levels -127 to 127, s = f max |w| / 127: one level in 256 is not worth a mirrored grid
//   asymmetric        levels -2^(b-1) to 2^(b-1) - 1, s = f (hi - lo) / (2^b - 1), zero point round(-f lo / s) -
//   2^(b-1)
//                     (Jacob et al. 2018, eq. 1)
// s is rounded to fp16, then level = clamp(round_half_even(w / s) + zero_point).

// Throws DataError where `spec` makes no sense or `shape` is no matrix (grids).
void check_storable(const std::vector<std::int64_t>& shape, const FormatSpec& spec);

QuantizedMatrix quantize(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration = {});
// What the rule `calibrated` adds, per scale block by least sum_j h_j (w_j - q_j)^2: for ternary the threshold in 0.30,
// 0.35 .. 0.70 with its best scale (the upper end keeps sparsity below 45 % on bell-shaped weights), for integers the
// factor of the range in 0.35, 0.375 .. 1, of both signs where scales have one. Empty for other rules and for float16.
Calibration calibrate_format(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square);

// Masters from which training may start with levels and scales found otherwise, and the calibration under which the
// format gives exactly those.
struct PinnedMatrix {
  at::Tensor masters;  // float32 [out, in]
  Calibration calibration;
};
// Each weight of `reference` [out, in] is moved to the nearest value that lies, by a margin of 1e-3 steps, in the cell
// of its level: weights that round to their level already stay as they are. Ternary is pinned by thresholds and factors
// (the rule goes on to fit scales), integers by fixed scales and zero points. The result is checked: throws
// NumericError where the masters do not stand for `wanted`.
PinnedMatrix pin(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                 const at::Tensor& mean_square);

StoredTensor pack(const QuantizedMatrix& matrix, const FormatSpec& spec);
at::Tensor unpack_levels(const StoredTensor& stored);  // int8 [out, in]; of a grid
StoredTensor store(const at::Tensor& value, const FormatSpec& spec, const Calibration& calibration = {});
// The scales of store(), without the work of packing.
at::Tensor storage_scales(const at::Tensor& value, const FormatSpec& spec, const Calibration& calibration = {});
// The values that the stored form stands for, as float32, each exactly representable in fp16.
at::Tensor dequantize(const StoredTensor& stored);
at::Tensor dequantize(const QuantizedMatrix& matrix, const FormatSpec& spec);
// Codes, scales and zero points of a value of this shape in their types and sizes, without memory (on the meta device).
StoredTensor unfilled(const std::vector<std::int64_t>& shape, const FormatSpec& spec);
// Bytes of codes, scales and zero points.
std::uint64_t stored_bytes(const StoredTensor& stored);
// Scale blocks in one row: 1 by tensor and channel, ceil(in / group_size) by group.
std::int64_t blocks_per_row(std::int64_t columns, const FormatSpec& spec);
// Shape of the scales of a [rows, columns] matrix: [1], [rows, 1] or [rows, groups].
std::vector<std::int64_t> scale_shape(std::int64_t rows, std::int64_t columns, const FormatSpec& spec);

// What dequantize(store(value, spec, calibration)) gives, without packing, written into `out` (float32, same shape):
// one pass, used at every training step. The straight-through gradient is the identity: the gradient at `out` is taken
// as the gradient at `value` (Bengio et al. 2013).
void fake_quantize(const at::Tensor& value, const FormatSpec& spec, const Calibration& calibration, at::Tensor out);

struct ErrorMeasures {
  double relative = 0;           // ||W - Q||_F / ||W||_F
  double weighted_relative = 0;  // columns weighted by mean_square; equal to relative without it
  double sparsity = 0;           // share of exact zeros
};
ErrorMeasures measure_error(const at::Tensor& weight, const at::Tensor& dequantized,
                            const at::Tensor& mean_square = {});

}  // namespace tercet
