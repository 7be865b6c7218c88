// Values to stored form and back: packing, int8 rows, fp16.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Half.h>

#include <cmath>
#include <vector>

#include "blocks.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/quant/format.hpp"
#include "ternary.hpp"

namespace tercet {
namespace {

constexpr float kSmallestScale = 6.2e-5f;  // above fp16's smallest normal number, so that a row of zeros has a scale

bool on_host(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat && tensor.is_contiguous();
}

at::Tensor int8_scales(const at::Tensor& matrix) {
  return (matrix.abs().amax(1, true) / 127.0f).clamp_min(kSmallestScale).to(at::kHalf);
}

// Q * s rounded to fp16, the value an int8 code stands for.
at::Tensor int8_values(const at::Tensor& codes, const at::Tensor& scales) {
  return (codes.to(at::kFloat) * scales.to(at::kFloat)).to(at::kHalf).to(at::kFloat);
}

at::Tensor empty_scales(const at::Tensor& matrix, const FormatSpec& spec) {
  if (matrix.dim() != 2) return at::empty({1}, at::kHalf);  // about to be refused
  return at::empty(scale_shape(matrix.size(0), matrix.size(1), spec), at::kHalf);
}

void check_matrix_shape(const StoredTensor& stored) {
  if (stored.shape.size() != 2) throw DataError("a " + to_string(stored.spec.format) + " tensor must be a matrix");
}

void fake_int8_on_host(const at::Tensor& value, at::Tensor& out) {
  const std::int64_t columns = value.size(1);
  const float* in = value.const_data_ptr<float>();
  float* result = out.mutable_data_ptr<float>();
  at::parallel_for(0, value.size(0), 64, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int8_t> codes(static_cast<std::size_t>(columns));
    for (std::int64_t row = begin; row < end; ++row) {
      const float largest = quant::max_magnitude(in + row * columns, columns);
      const auto scale = static_cast<float>(c10::Half(std::max(largest / 127.0f, kSmallestScale)));
      quant::write_int8(in + row * columns, columns, scale, codes.data());
      for (std::int64_t j = 0; j < columns; ++j) {
        result[row * columns + j] =
            static_cast<float>(c10::Half(static_cast<float>(codes[static_cast<std::size_t>(j)]) * scale));
      }
    }
  });
}

}  // namespace

TernaryTensor ternarize(const at::Tensor& weight, const FormatSpec& spec, const TernaryCalibration& calibration) {
  if (!weight.device().is_cpu()) return quant::ternarize_by_expressions(weight, spec, calibration);
  const at::Tensor matrix = quant::host_float(weight);
  TernaryTensor result{at::empty(matrix.sizes(), at::kChar), empty_scales(matrix, spec)};
  quant::ternarize_on_host(matrix, spec, calibration, nullptr, result.trits.mutable_data_ptr<std::int8_t>(),
                           result.scales.mutable_data_ptr<c10::Half>());
  return result;
}

at::Tensor storage_scales(const at::Tensor& value, const FormatSpec& spec, const TernaryCalibration& calibration) {
  if (spec.format == NumberFormat::kFloat16) return {};
  if (spec.format == NumberFormat::kInt8) return int8_scales(quant::host_float(value));
  if (!value.device().is_cpu()) return quant::ternarize_by_expressions(value, spec, calibration).scales;
  const at::Tensor matrix = quant::host_float(value);
  at::Tensor scales = empty_scales(matrix, spec);
  quant::ternarize_on_host(matrix, spec, calibration, nullptr, nullptr, scales.mutable_data_ptr<c10::Half>());
  return scales;
}

StoredTensor store_ternary(const TernaryTensor& ternary, const FormatSpec& spec) {
  const at::Tensor trits = ternary.trits.to(at::kCPU).contiguous();
  const std::int64_t rows = trits.size(0), columns = trits.size(1), bytes = (columns + 3) / 4;
  StoredTensor stored{spec, trits.sizes().vec(), at::zeros({rows, bytes}, at::kByte),
                      ternary.scales.to(at::kCPU, at::kHalf).contiguous()};
  const std::int8_t* in = trits.const_data_ptr<std::int8_t>();
  std::uint8_t* out = stored.codes.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t j = 0; j < columns; ++j) {
      out[row * bytes + j / 4] |= static_cast<std::uint8_t>((in[row * columns + j] + 1) << 2 * (j % 4));
    }
  }
  return stored;
}

StoredTensor store_int8(const at::Tensor& weight) {
  const at::Tensor matrix = quant::host_float(weight);
  const at::Tensor scale = int8_scales(matrix);
  const at::Tensor codes = (matrix / scale.to(at::kFloat)).round().clamp(-127, 127).to(at::kChar);
  return {{NumberFormat::kInt8, Granularity::kChannel, 0, TernaryRule::kAbsmean}, matrix.sizes().vec(), codes, scale};
}

StoredTensor store_float16(const at::Tensor& value) {
  const at::Tensor half = value.detach().to(at::kCPU, at::kHalf).contiguous();
  return {{NumberFormat::kFloat16, Granularity::kTensor, 0, TernaryRule::kAbsmean}, half.sizes().vec(), half, {}};
}

StoredTensor store(const at::Tensor& value, const FormatSpec& spec, const TernaryCalibration& calibration) {
  heartbeat::beat();
  switch (spec.format) {
    case NumberFormat::kTernary:
      return store_ternary(ternarize(value, spec, calibration), spec);
    case NumberFormat::kInt8:
      return store_int8(value);
    case NumberFormat::kFloat16:
      break;
  }
  return store_float16(value);
}

StoredTensor unfilled(const std::vector<std::int64_t>& shape, const FormatSpec& spec) {
  const auto empty = [](const std::vector<std::int64_t>& sizes, at::ScalarType type) {
    return at::empty(sizes, at::TensorOptions(type).device(at::kMeta));
  };
  if (spec.format == NumberFormat::kFloat16) return {spec, shape, empty(shape, at::kHalf), {}};
  StoredTensor stored{spec, shape, {}, {}};
  check_matrix_shape(stored);
  const std::int64_t rows = shape[0], columns = shape[1];
  if (spec.format == NumberFormat::kInt8) {
    stored.codes = empty(shape, at::kChar);
    stored.scales = empty({rows, 1}, at::kHalf);
  } else {
    stored.codes = empty({rows, (columns + 3) / 4}, at::kByte);
    stored.scales = empty(scale_shape(rows, columns, spec), at::kHalf);
  }
  return stored;
}

at::Tensor unpack_trits(const StoredTensor& stored) {
  check_matrix_shape(stored);
  const std::int64_t rows = stored.shape[0], columns = stored.shape[1], bytes = (columns + 3) / 4;
  const at::Tensor codes = stored.codes.to(at::kCPU).contiguous();
  at::Tensor trits = at::empty(stored.shape, at::kChar);
  const std::uint8_t* in = codes.const_data_ptr<std::uint8_t>();
  std::int8_t* out = trits.mutable_data_ptr<std::int8_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t j = 0; j < columns; ++j) {
      out[row * columns + j] = static_cast<std::int8_t>((in[row * bytes + j / 4] >> 2 * (j % 4) & 3) - 1);
    }
  }
  return trits;
}

at::Tensor dequantize(const StoredTensor& stored) {
  heartbeat::beat();
  switch (stored.spec.format) {
    case NumberFormat::kTernary:
      return quant::scale_trits(unpack_trits(stored), stored.scales, stored.spec);
    case NumberFormat::kInt8:
      return int8_values(stored.codes, stored.scales);
    case NumberFormat::kFloat16:
      break;
  }
  return stored.codes.to(at::kFloat);
}

void fake_quantize(const at::Tensor& value, const FormatSpec& spec, const TernaryCalibration& calibration,
                   at::Tensor out) {
  if (spec.format == NumberFormat::kFloat16) {
    out.copy_(value.detach().to(at::kHalf));
  } else if (on_host(value) && on_host(out)) {
    if (spec.format == NumberFormat::kTernary) {
      quant::ternarize_on_host(value, spec, calibration, out.mutable_data_ptr<float>(), nullptr, nullptr);
    } else {
      fake_int8_on_host(value, out);
    }
  } else if (spec.format == NumberFormat::kTernary) {
    const TernaryTensor ternary = quant::ternarize_by_expressions(value, spec, calibration);
    out.copy_(quant::scale_trits(ternary.trits, ternary.scales, spec));
  } else {
    const at::Tensor scale = int8_scales(value.detach()).to(at::kFloat);
    out.copy_(int8_values((value.detach() / scale).round().clamp(-127, 127), scale));
  }
}

ErrorMeasures measure_error(const at::Tensor& weight, const at::Tensor& dequantized, const at::Tensor& mean_square) {
  const at::Tensor reference = weight.detach().to(at::kDouble);
  const at::Tensor difference = reference - dequantized.detach().to(weight.device(), at::kDouble);
  const auto ratio = [](const at::Tensor& error, const at::Tensor& whole) {
    const double total = whole.sum().item<double>();
    return total > 0 ? std::sqrt(error.sum().item<double>() / total) : 0.0;
  };
  ErrorMeasures measures;
  measures.relative = ratio(difference.square(), reference.square());
  measures.weighted_relative = measures.relative;
  if (mean_square.defined()) {
    const at::Tensor h = mean_square.to(weight.device(), at::kDouble);
    measures.weighted_relative = ratio(difference.square() * h, reference.square() * h);
  }
  measures.sparsity = dequantized.eq(0).to(at::kDouble).mean().item<double>();
  return measures;
}

}  // namespace tercet
