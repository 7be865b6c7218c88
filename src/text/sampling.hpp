// Which source a training sample comes from, as a pure function of its index.
#pragma once

#include <cstdint>
#include <vector>

namespace tercet::text {

// The n-th draw of one source.
struct Draw {
  std::size_t source = 0;
  std::uint64_t number = 0;
};

// Share of each source against itself and those after it, in 1/2^32. Weights are positive and finite.
std::vector<std::uint64_t> shares_of_weights(const std::vector<double>& weights);

// Goes down the list of sources. Of the draws that reach a source, number n stays there when floor((n + 1) s) differs
// from floor(n s), s being its share: so any run of samples holds each source in proportion (Bresenham's rule), and
// how many draws stayed before is known without counting.
Draw draw_of(std::uint64_t index, const std::vector<std::uint64_t>& shares);

}  // namespace tercet::text
