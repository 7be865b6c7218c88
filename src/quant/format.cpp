#include "tercet/quant/format.hpp"

#include <array>
#include <utility>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

template <typename Enum, std::size_t N>
using Names = std::array<std::pair<Enum, const char*>, N>;

constexpr Names<NumberFormat, 3> kFormats{
    {{NumberFormat::kTernary, "ternary"}, {NumberFormat::kInt8, "int8"}, {NumberFormat::kFloat16, "float16"}}};
constexpr Names<Granularity, 3> kGranularities{
    {{Granularity::kTensor, "tensor"}, {Granularity::kChannel, "channel"}, {Granularity::kGroup, "group"}}};
constexpr Names<TernaryRule, 3> kRules{{{TernaryRule::kAbsmean, "absmean"},
                                        {TernaryRule::kLeastSquares, "least_squares"},
                                        {TernaryRule::kCalibrated, "calibrated"}}};

template <typename Enum, std::size_t N>
std::string name_of(const Names<Enum, N>& names, Enum value) {
  for (const auto& [candidate, name] : names) {
    if (candidate == value) return name;
  }
  return "unknown";
}

template <typename Enum, std::size_t N>
Enum value_of(const Names<Enum, N>& names, const std::string& wanted, const std::string& what) {
  std::string known;
  for (const auto& [value, name] : names) {
    if (wanted == name) return value;
    known += std::string(known.empty() ? "" : ", ") + name;
  }
  throw DataError("unknown " + what + " '" + wanted + "'", "known are " + known);
}

}  // namespace

std::string to_string(NumberFormat format) {
  return name_of(kFormats, format);
}
std::string to_string(Granularity value) {
  return name_of(kGranularities, value);
}
std::string to_string(TernaryRule rule) {
  return name_of(kRules, rule);
}
NumberFormat number_format(const std::string& name) {
  return value_of(kFormats, name, "number format");
}
Granularity granularity(const std::string& name) {
  return value_of(kGranularities, name, "granularity");
}
TernaryRule ternary_rule(const std::string& name) {
  return value_of(kRules, name, "ternary rule");
}

std::int64_t blocks_per_row(std::int64_t columns, const FormatSpec& spec) {
  return spec.granularity == Granularity::kGroup ? (columns + spec.group_size - 1) / spec.group_size : 1;
}

std::vector<std::int64_t> scale_shape(std::int64_t rows, std::int64_t columns, const FormatSpec& spec) {
  if (spec.granularity == Granularity::kTensor) return {1};
  return {rows, blocks_per_row(columns, spec)};
}

std::uint64_t stored_bytes(const StoredTensor& stored) {
  return stored.codes.nbytes() + (stored.scales.defined() ? stored.scales.nbytes() : 0);
}

}  // namespace tercet
