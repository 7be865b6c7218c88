// A solution as CBOR (RFC 8949): numbers keep their bits, tensors are byte strings with dtype and shape.
#include <ATen/ops/empty.h>

#include <cstring>

#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/solve/solver.hpp"

namespace tercet {
namespace {

using nlohmann::json;

constexpr int kVersion = 2;

json tensor_to_json(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  const at::Tensor host = tensor.to(at::kCPU).contiguous();
  const auto* data = static_cast<const std::uint8_t*>(host.const_data_ptr());
  return {{"dtype", static_cast<int>(host.scalar_type())},
          {"shape", host.sizes().vec()},
          {"data", json::binary(std::vector<std::uint8_t>(data, data + host.nbytes()))}};
}

at::Tensor tensor_from_json(const json& value, at::ScalarType dtype) {
  if (value.is_null()) return {};
  const auto shape = value.at("shape").get<std::vector<std::int64_t>>();
  const auto& data = value.at("data").get_binary();
  if (value.at("dtype").get<int>() != static_cast<int>(dtype)) throw DataError("a tensor of another type");
  std::uint64_t bytes = c10::elementSize(dtype);
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes))
      throw DataError("a malformed shape");
  }
  if (bytes != data.size()) throw DataError("a tensor of another size than its shape");
  at::Tensor tensor = at::empty(shape, dtype);
  if (bytes > 0) std::memcpy(tensor.mutable_data_ptr(), data.data(), bytes);
  return tensor;
}

LayerReport report_from_json(const json& value) {
  LayerReport report;
  report.name = value.at("name");
  report.method = value.at("method");
  report.error_rounding = value.at("error_rounding");
  report.error = value.at("error");
  report.damping = value.at("damping");
  for (const json& attempt : value.at("tries")) report.tries.push_back({attempt.at("damping"), attempt.at("outcome")});
  report.dead_inputs = value.at("dead_inputs");
  report.sparsity = value.at("sparsity");
  report.fallback = value.at("fallback");
  return report;
}

// Types and shapes as the format lays them out; calibrations as it takes them.
bool fits_together(const LayerSolution& solution) {
  const StoredTensor& stored = solution.stored;
  const StoredTensor expected = unfilled(stored.shape, stored.spec);
  const auto same = [](const at::Tensor& a, const at::Tensor& b) {
    return a.defined() == b.defined() &&
           (!a.defined() || (a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type()));
  };
  const auto per_block = [&](const at::Tensor& values) {
    return !values.defined() || values.sizes() == expected.scales.sizes();
  };
  const Calibration& calibration = solution.calibration;
  return solution.masters.defined() && solution.masters.sizes() == at::IntArrayRef(stored.shape) &&
         same(stored.codes, expected.codes) && same(stored.scales, expected.scales) &&
         same(stored.zero_points, expected.zero_points) && per_block(calibration.thresholds) &&
         per_block(calibration.scale_factors) && per_block(calibration.scales) && per_block(calibration.zero_points);
}

LayerSolution solution_from_json(const json& value) {
  if (value.at("version").get<int>() != kVersion) throw DataError("a solution of another version");
  LayerSolution solution;
  FormatSpec& spec = solution.stored.spec;
  spec = {number_format(value.at("format").get<std::string>()), granularity(value.at("granularity").get<std::string>()),
          value.at("group_size").get<std::int64_t>(), scale_rule(value.at("rule").get<std::string>()),
          value.at("symmetric").get<bool>()};
  const at::ScalarType codes = spec.format->layout().type;
  solution.stored.shape = value.at("shape").get<std::vector<std::int64_t>>();
  solution.stored.codes = tensor_from_json(value.at("codes"), codes);
  solution.stored.zero_points = tensor_from_json(value.at("zero_points"), codes);
  solution.stored.scales = tensor_from_json(value.at("scales"), at::kHalf);
  solution.masters = tensor_from_json(value.at("masters"), at::kFloat);
  solution.calibration.thresholds = tensor_from_json(value.at("thresholds"), at::kFloat);
  solution.calibration.mean_square = tensor_from_json(value.at("mean_square"), at::kFloat);
  solution.calibration.scale_factors = tensor_from_json(value.at("scale_factors"), at::kFloat);
  solution.calibration.scales = tensor_from_json(value.at("fixed_scales"), at::kFloat);
  solution.calibration.zero_points = tensor_from_json(value.at("fixed_zero_points"), at::kChar);
  solution.report = report_from_json(value.at("report"));
  if (!fits_together(solution)) throw DataError("a solution whose parts do not fit together");
  return solution;
}

}  // namespace

std::string to_bytes(const LayerSolution& solution) {
  const FormatSpec& spec = solution.stored.spec;
  const json value{{"version", kVersion},
                   {"format", spec.format->name()},
                   {"symmetric", spec.symmetric},
                   {"granularity", to_string(spec.granularity)},
                   {"group_size", spec.group_size},
                   {"rule", to_string(spec.rule)},
                   {"shape", solution.stored.shape},
                   {"codes", tensor_to_json(solution.stored.codes)},
                   {"scales", tensor_to_json(solution.stored.scales)},
                   {"zero_points", tensor_to_json(solution.stored.zero_points)},
                   {"masters", tensor_to_json(solution.masters)},
                   {"thresholds", tensor_to_json(solution.calibration.thresholds)},
                   {"mean_square", tensor_to_json(solution.calibration.mean_square)},
                   {"scale_factors", tensor_to_json(solution.calibration.scale_factors)},
                   {"fixed_scales", tensor_to_json(solution.calibration.scales)},
                   {"fixed_zero_points", tensor_to_json(solution.calibration.zero_points)},
                   {"report", to_json(solution.report)}};
  std::string bytes;
  json::to_cbor(value, bytes);
  return bytes;
}

LayerSolution solution_from_bytes(std::string_view bytes) {
  try {
    return solution_from_json(json::from_cbor(bytes));
  } catch (const json::exception& error) {
    throw DataError("these bytes are no solution of a layer", error.what());
  }
}

}  // namespace tercet
