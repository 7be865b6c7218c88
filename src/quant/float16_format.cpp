// Plain fp16 values of any shape: no grid, no scales.
#include <string>

#include "quant/formats.hpp"
#include "tercet/base/error.hpp"

namespace tercet::quant {
namespace {

[[noreturn]] void refuse() {
  throw DataError("float16 is not a grid", "it has neither levels nor scales");
}

class Float16 final : public NumberFormat {
 public:
  std::string name() const override { return "float16"; }
  bool is_grid() const override { return false; }
  LevelRange levels(bool) const override { return {}; }
  CodeLayout layout() const override { return {16, 0, 0, at::kHalf}; }
  std::string refusal(const FormatSpec&) const override { return ""; }
  QuantizedMatrix quantize(const at::Tensor&, const FormatSpec&, const Calibration&) const override { refuse(); }
  void fake_quantize(const at::Tensor& weight, const FormatSpec&, const Calibration&, at::Tensor out) const override {
    out.copy_(weight.detach().to(at::kHalf));
  }
  at::Tensor scales(const at::Tensor&, const FormatSpec&, const Calibration&) const override { return {}; }
  Calibration calibrate(const at::Tensor&, const FormatSpec&, const at::Tensor&) const override { return {}; }
  PinnedMatrix pin(const at::Tensor&, const QuantizedMatrix&, const FormatSpec&, const at::Tensor&) const override {
    refuse();
  }
};

}  // namespace

const NumberFormat* float16_format() {
  static const Float16 format;
  return &format;
}

}  // namespace tercet::quant
