// The absmean rule straight into packed codes.
//
// quantize() asks whether |w| / m, rounded to fp32, is above 1/2, m being the mean. m / 2 is exact, and the float that
// follows it divided by m is more than half a last place above 1/2, so it is rounded upwards: |w| > m / 2 says the same
// of every w.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "quant/blocks.hpp"
#include "quant/scale_blocks.hpp"
#include "quant/ternary.hpp"
#include "quant/ternary_constants.hpp"
#include "quant/trit_codes.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet::quant {
namespace {

// A weight matrix and where its codes and scales go.
struct AbsmeanPacking {
  const float* weight;
  std::int64_t rows, columns, width;  // width: of a scale block
  std::uint8_t* bytes;
  c10::Half* scales;

  // In parallel; `body(begin, end)` of rows.
  template <typename Body>
  void for_each_part(Body body) const {
    constexpr std::int64_t kFewestRows = 16;
    at::parallel_for(0, rows, kFewestRows, body);
  }

  void write(std::int64_t row, std::int64_t column, std::int64_t length, float mean) const {
    write_trit_codes(weight + row * columns + column, length, kDefaultThreshold * mean,
                     bytes + row * ((columns + 3) / 4) + column / 4);
  }

  // Row sums are added in order, whatever the threads.
  void with_one_scale() const {
    std::vector<double> sums(static_cast<std::size_t>(rows));
    for_each_part([&](std::int64_t begin, std::int64_t end) {
      sum_magnitudes(weight + begin * columns, columns, end - begin, sums.data() + begin);
    });
    const float mean = mean_magnitude(std::accumulate(sums.begin(), sums.end(), 0.0), rows * columns);
    scales[0] = c10::Half(mean);
    for_each_part([&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) write(row, 0, columns, mean);
    });
  }

  void with_scales_in_rows() const {
    const std::int64_t whole = columns / width, per_row = (columns + width - 1) / width;
    for_each_part([&](std::int64_t begin, std::int64_t end) {
      std::vector<double> sums(static_cast<std::size_t>(per_row));
      for (std::int64_t row = begin; row < end; ++row) {
        const float* values = weight + row * columns;
        sum_magnitudes(values, width, whole, sums.data());
        if (whole < per_row) sums.back() = sum_magnitude(values + whole * width, columns - whole * width);
        for (std::int64_t block = 0; block < per_row; ++block) {
          const std::int64_t length = std::min(width, columns - block * width);
          const float mean = mean_magnitude(sums[static_cast<std::size_t>(block)], length);
          scales[row * per_row + block] = c10::Half(mean);
          write(row, block * width, length, mean);
        }
      }
    });
  }
};

}  // namespace

bool packs_at_once(const FormatSpec& spec, const Calibration& calibration) {
  const bool whole_bytes = spec.granularity != Granularity::kGroup || spec.group_size % 4 == 0;
  return spec.rule == ScaleRule::kAbsmean && !calibration.scales.defined() && spec.format->layout().bits == 2 &&
         whole_bytes;
}

StoredTensor pack_absmean(const at::Tensor& weight, const FormatSpec& spec) {
  const at::Tensor matrix = host_float(weight);
  const std::int64_t rows = matrix.size(0), columns = matrix.size(1);
  StoredTensor stored{spec,
                      {rows, columns},
                      at::empty({rows, (columns + 3) / 4}, at::kByte),
                      at::empty(scale_shape(rows, columns, spec), at::kHalf),
                      {}};
  const bool by_group = spec.granularity == Granularity::kGroup;
  const AbsmeanPacking packing{matrix.const_data_ptr<float>(),
                               rows,
                               columns,
                               by_group ? spec.group_size : columns,
                               stored.codes.mutable_data_ptr<std::uint8_t>(),
                               stored.scales.mutable_data_ptr<c10::Half>()};
  spec.granularity == Granularity::kTensor ? packing.with_one_scale() : packing.with_scales_in_rows();
  return stored;
}

}  // namespace tercet::quant
