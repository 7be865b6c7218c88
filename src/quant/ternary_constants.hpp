// What every implementation of the ternary rule takes: on the host, by expressions and on a GPU.
#pragma once

namespace tercet::quant {

inline constexpr float kSmallestMean = 1e-5f;  // of the magnitudes of a scale block
inline constexpr float kDefaultThreshold = 0.5f;

}  // namespace tercet::quant
