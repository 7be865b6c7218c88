// Masters that lie in the cells of given levels.
#pragma once

#include "tercet/quant/number_format.hpp"

namespace tercet::quant {

// `reference` [out, in] moved into the cells of `wanted`; the cells of the range's ends are open outwards.
at::Tensor move_into_cells(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                           LevelRange range);
// Those masters with the scales and zero points of `wanted`, fixed.
PinnedMatrix pin_by_scales(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                           LevelRange range);
// Those masters with thresholds and scale factors under which the calibrated ternary rule gives `wanted`.
PinnedMatrix pin_by_factors(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                            const at::Tensor& mean_square);

}  // namespace tercet::quant
