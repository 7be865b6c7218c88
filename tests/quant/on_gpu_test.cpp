// Quantization on a GPU against that on this processor. Label "gpu" runs it on such a machine; elsewhere it is skipped.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "support/on_gpu.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

using test::OnGpu;

at::Tensor there(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.to("cuda:0") : tensor;
}

Calibration there(const Calibration& calibration) {
  return {there(calibration.thresholds), there(calibration.mean_square), there(calibration.scale_factors),
          there(calibration.scales), there(calibration.zero_points)};
}

TEST_F(OnGpu, TernarizesToTheBitsOfTheCpu) {
  for (const ScaleRule rule : {ScaleRule::kAbsmean, ScaleRule::kLeastSquares, ScaleRule::kCalibrated}) {
    for (const std::int64_t group : {0, 32, 64, 128, 512}) {
      for (const auto& [rows, columns] : {std::pair<int, int>{1, 1}, {5, 172}, {64, 192}, {33, 1000}, {16, 4096}}) {
        SCOPED_TRACE(to_string(rule) + " " + std::to_string(group) + ", " + std::to_string(rows) + " x " +
                     std::to_string(columns));
        at::manual_seed(static_cast<std::uint64_t>(rows + group));
        const FormatSpec spec{number_format("ternary"), group == 0 ? Granularity::kChannel : Granularity::kGroup, group,
                              rule};
        at::Tensor weight = at::randn({rows, columns});
        weight[0][0] = 0;
        Calibration calibration = calibrate_format(weight, spec, at::rand({columns}) + 0.1);
        calibration.scale_factors =
            at::rand(calibration.thresholds.defined() ? calibration.thresholds.sizes()
                                                      : at::IntArrayRef(scale_shape(rows, columns, spec))) +
            0.5;
        const QuantizedMatrix here = quantize(weight, spec, calibration);
        const QuantizedMatrix moved = quantize(there(weight), spec, there(calibration));
        EXPECT_TRUE(at::equal(moved.levels.cpu(), here.levels));
        EXPECT_TRUE(at::equal(moved.scales.cpu(), here.scales));
        at::Tensor faked = at::empty_like(weight), faked_there = at::empty_like(there(weight));
        fake_quantize(weight, spec, calibration, faked);
        fake_quantize(there(weight), spec, there(calibration), faked_there);
        EXPECT_TRUE(at::equal(faked_there.cpu(), faked));
      }
    }
  }
}

TEST_F(OnGpu, OtherFormatsAgreeWithTheCpu) {
  at::manual_seed(4);
  const at::Tensor weight = at::randn({48, 256});
  for (const std::string name : {"ternary", "int2", "int4", "int8"}) {
    for (const Granularity granularity : {Granularity::kTensor, Granularity::kChannel, Granularity::kGroup}) {
      const ScaleRule rule = name == "ternary" ? ScaleRule::kLeastSquares : ScaleRule::kMinMax;
      const FormatSpec spec{number_format(name), granularity, 64, rule};
      at::Tensor faked = at::empty_like(weight), faked_there = at::empty_like(there(weight));
      fake_quantize(weight, spec, {}, faked);
      fake_quantize(there(weight), spec, {}, faked_there);
      EXPECT_TRUE(at::allclose(faked_there.cpu(), faked, 1e-3, 1e-6)) << name << " " << to_string(granularity);
    }
  }
}

}  // namespace
}  // namespace tercet
