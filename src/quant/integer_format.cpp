// Integers of 2, 3, 4, 6 and 8 bits, symmetric or with a zero point.
#include <ATen/TensorOperators.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/where.h>

#include <string>

#include "quant/formats.hpp"
#include "quant/integer_grid.hpp"
#include "quant/pin.hpp"
#include "quant/scale_blocks.hpp"
#include "tercet/base/error.hpp"

namespace tercet::quant {
namespace {

class Integer final : public NumberFormat {
 public:
  explicit Integer(int bits) : bits_(bits) {}

  std::string name() const override { return "int" + std::to_string(bits_); }
  LevelRange levels(bool symmetric) const override {
    const int half = 1 << (bits_ - 1);
    return {symmetric && bits_ == 8 ? 1 - half : -half, half - 1};
  }
  // Eight bits lie in int8 as they are; fewer as unsigned fields, which need no sign to be extended.
  CodeLayout layout() const override {
    return bits_ == 8 ? CodeLayout{8, 0, 0, at::kChar} : CodeLayout{bits_, 0, 1 << (bits_ - 1), at::kByte};
  }
  bool takes_short_groups() const override { return false; }
  std::string refusal(const FormatSpec& spec) const override {
    if (spec.rule == ScaleRule::kMinMax || spec.rule == ScaleRule::kCalibrated) return "";
    return "the rule " + to_string(spec.rule) + " is for ternary; integers take min_max or calibrated";
  }

  QuantizedMatrix quantize(const at::Tensor& weight, const FormatSpec& spec,
                           const Calibration& calibration) const override {
    return to_grid(weight, spec, levels(spec.symmetric), calibration);
  }
  void fake_quantize(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration,
                     at::Tensor out) const override {
    fake_quantize_on_grid(weight, spec, levels(spec.symmetric), calibration, out);
  }
  Calibration calibrate(const at::Tensor& weight, const FormatSpec& spec,
                        const at::Tensor& mean_square) const override {
    return {{}, mean_square, calibrate_scale_factors(weight, spec, levels(spec.symmetric), mean_square), {}, {}};
  }
  PinnedMatrix pin(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                   const at::Tensor&) const override {
    return pin_by_scales(reference, wanted, spec, levels(spec.symmetric));
  }

 private:
  int bits_;
};

}  // namespace

const NumberFormat* integer_format(int bits) {
  static const Integer two(2), three(3), four(4), six(6), eight(8);
  for (const Integer* format : {&two, &three, &four, &six, &eight}) {
    if (format->layout().bits == bits) return format;
  }
  throw DataError("there is no integer format of " + std::to_string(bits) + " bits", "there are 2, 3, 4, 6 and 8");
}

}  // namespace tercet::quant
