#include "tercet/quant/format.hpp"

#include <array>
#include <utility>

#include "quant/formats.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

template <typename Enum, std::size_t N>
using Names = std::array<std::pair<Enum, const char*>, N>;

constexpr Names<Granularity, 3> kGranularities{
    {{Granularity::kTensor, "tensor"}, {Granularity::kChannel, "channel"}, {Granularity::kGroup, "group"}}};
constexpr Names<ScaleRule, 4> kRules{{{ScaleRule::kAbsmean, "absmean"},
                                      {ScaleRule::kLeastSquares, "least_squares"},
                                      {ScaleRule::kMinMax, "min_max"},
                                      {ScaleRule::kCalibrated, "calibrated"}}};

template <typename Enum, std::size_t N>
std::string name_of(const Names<Enum, N>& names, Enum value) {
  for (const auto& [candidate, name] : names) {
    if (candidate == value) return name;
  }
  return "unknown";
}

[[noreturn]] void refuse_name(const std::string& what, const std::string& wanted, const std::string& known) {
  throw DataError("unknown " + what + " '" + wanted + "'", "known are " + known);
}

template <typename Enum, std::size_t N>
Enum value_of(const Names<Enum, N>& names, const std::string& wanted, const std::string& what) {
  std::string known;
  for (const auto& [value, name] : names) {
    if (wanted == name) return value;
    known += std::string(known.empty() ? "" : ", ") + name;
  }
  refuse_name(what, wanted, known);
}

}  // namespace

// The table.
const std::vector<const NumberFormat*>& number_formats() {
  static const std::vector<const NumberFormat*> table{
      quant::ternary_format(),  quant::ternary5_format(), quant::integer_format(2), quant::integer_format(3),
      quant::integer_format(4), quant::integer_format(6), quant::integer_format(8), quant::float16_format(),
  };
  return table;
}

const NumberFormat* number_format(const std::string& name) {
  std::string known;
  for (const NumberFormat* format : number_formats()) {
    if (format->name() == name) return format;
    known += (known.empty() ? "" : ", ") + format->name();
  }
  refuse_name("number format", name, known);
}

StoredTensor NumberFormat::store(const at::Tensor& weight, const FormatSpec& spec,
                                 const Calibration& calibration) const {
  return pack(quantize(weight, spec, calibration), spec);
}

at::Tensor NumberFormat::scales(const at::Tensor& weight, const FormatSpec& spec,
                                const Calibration& calibration) const {
  return quantize(weight, spec, calibration).scales;
}

std::string to_string(Granularity value) {
  return name_of(kGranularities, value);
}
std::string to_string(ScaleRule rule) {
  return name_of(kRules, rule);
}
Granularity granularity(const std::string& name) {
  return value_of(kGranularities, name, "granularity");
}
ScaleRule scale_rule(const std::string& name) {
  return value_of(kRules, name, "scale rule");
}

std::int64_t blocks_per_row(std::int64_t columns, const FormatSpec& spec) {
  return spec.granularity == Granularity::kGroup ? (columns + spec.group_size - 1) / spec.group_size : 1;
}

std::vector<std::int64_t> scale_shape(std::int64_t rows, std::int64_t columns, const FormatSpec& spec) {
  if (spec.granularity == Granularity::kTensor) return {1};
  return {rows, blocks_per_row(columns, spec)};
}

void check_storable(const std::vector<std::int64_t>& shape, const FormatSpec& spec) {
  if (!spec.format->is_grid()) return;
  const std::string name = spec.format->name();
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1) {
    throw DataError("a tensor of format " + name + " must be a matrix",
                    "it has " + std::to_string(shape.size()) + " dimensions");
  }
  if (spec.granularity == Granularity::kGroup && spec.group_size < 1) {
    throw DataError("group_size must be positive", "it is " + std::to_string(spec.group_size));
  }
  if (const std::string reason = spec.format->refusal(spec); !reason.empty()) {
    throw DataError("the format " + name + " cannot be used like this", reason);
  }
}

std::uint64_t stored_bytes(const StoredTensor& stored) {
  std::uint64_t bytes = stored.codes.nbytes();
  for (const at::Tensor* part : {&stored.scales, &stored.zero_points}) {
    if (part->defined()) bytes += part->nbytes();
  }
  return bytes;
}

}  // namespace tercet
