// Trits at 2 bits, and five of them in a byte: the same values, packed in two ways.
#include <ATen/ops/empty.h>

#include <string>
#include <utility>

#include "quant/formats.hpp"
#include "quant/integer_grid.hpp"
#include "quant/pin.hpp"
#include "quant/scale_blocks.hpp"
#include "quant/ternary.hpp"

namespace tercet::quant {
namespace {

constexpr LevelRange kTrits{-1, 1};

class Ternary final : public NumberFormat {
 public:
  Ternary(std::string name, CodeLayout layout) : name_(std::move(name)), layout_(layout) {}

  std::string name() const override { return name_; }
  LevelRange levels(bool) const override { return kTrits; }
  CodeLayout layout() const override { return layout_; }
  bool counts_zeros() const override { return true; }
  std::string refusal(const FormatSpec& spec) const override {
    if (!spec.symmetric) return "trits are symmetric and have no zero point";
    return spec.rule == ScaleRule::kMinMax
               ? "the rule min_max is for integers; ternary takes absmean, least_squares or "
                 "calibrated"
               : "";
  }

  QuantizedMatrix quantize(const at::Tensor& weight, const FormatSpec& spec,
                           const Calibration& calibration) const override {
    if (calibration.scales.defined()) return to_grid(weight, spec, kTrits, calibration);
    if (!weight.device().is_cpu()) return ternarize_elsewhere(weight, spec, calibration);
    const at::Tensor matrix = host_float(weight);
    QuantizedMatrix result{at::empty(matrix.sizes(), at::kChar),
                           at::empty(scale_shape(matrix.size(0), matrix.size(1), spec), at::kHalf),
                           {}};
    ternarize_on_host(matrix, spec, calibration, nullptr, result.levels.mutable_data_ptr<std::int8_t>(),
                      result.scales.mutable_data_ptr<c10::Half>());
    return result;
  }

  StoredTensor store(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration) const override {
    return weight.device().is_cpu() && packs_at_once(spec, calibration)
               ? pack_absmean(weight, spec)
               : NumberFormat::store(weight, spec, calibration);
  }

  void fake_quantize(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration,
                     at::Tensor out) const override {
    if (calibration.scales.defined()) {
      fake_quantize_on_grid(weight, spec, kTrits, calibration, out);
    } else if (on_host(weight) && on_host(out)) {
      ternarize_on_host(weight, spec, calibration, out.mutable_data_ptr<float>(), nullptr, nullptr);
    } else {
      fake_ternarize_elsewhere(weight, spec, calibration, out);
    }
  }

  Calibration calibrate(const at::Tensor& weight, const FormatSpec& spec,
                        const at::Tensor& mean_square) const override {
    return {calibrate_thresholds(weight, spec, mean_square), mean_square, {}, {}, {}};
  }
  PinnedMatrix pin(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                   const at::Tensor& mean_square) const override {
    return pin_by_factors(reference, wanted, spec, mean_square);
  }

 private:
  std::string name_;
  CodeLayout layout_;
};

}  // namespace

const NumberFormat* ternary_format() {
  static const Ternary format("ternary", {2, 0, 1, at::kByte});
  return &format;
}

const NumberFormat* ternary5_format() {
  static const Ternary format("ternary5", {0, 5, 1, at::kByte});
  return &format;
}

}  // namespace tercet::quant
