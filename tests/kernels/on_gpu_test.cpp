// Packed products on a GPU against those of this processor, to the bit. Label "gpu" runs it on such a machine;
// elsewhere it is skipped.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/on_gpu.hpp"
#include "tercet/base/error.hpp"
#include "tercet/kernels/packed_matrix.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

using test::OnGpu;

FormatSpec spec_of(const std::string& name, std::int64_t group, bool symmetric = true) {
  const bool ternary = name.starts_with("ternary");
  return {number_format(name), group == 0 ? Granularity::kChannel : Granularity::kGroup, group,
          ternary ? ScaleRule::kAbsmean : ScaleRule::kMinMax, symmetric};
}

PackedMatrix random_matrix(std::int64_t rows, std::int64_t columns, const FormatSpec& spec) {
  return PackedMatrix(store(at::randn({rows, columns}), spec));
}

void expect_the_bits_of_the_cpu(const PackedMatrix& matrix, const PackedMatrix& there, const at::Tensor& x) {
  const QuantizedTokens here = quantize_tokens(x), moved = quantize_tokens(x.to("cuda:0"));
  EXPECT_TRUE(at::equal(moved.values.cpu(), here.values));
  EXPECT_TRUE(at::equal(moved.scales.cpu(), here.scales));
  EXPECT_TRUE(at::equal(multiply(moved, there).cpu(), multiply(here, matrix)));
}

TEST_F(OnGpu, MultipliesToTheBitsOfTheCpu) {
  struct Shape {
    std::int64_t rows, columns;
  };
  for (const std::string name : {"ternary", "int2", "int3", "int4", "int8"}) {
    for (const Shape& shape : {Shape{1, 16}, {7, 20}, {33, 172}, {64, 256}, {200, 1024}, {96, 2048}, {48, 8256}}) {
      for (const std::int64_t group : {0, 64, 128, 256}) {
        for (const bool symmetric : {true, false}) {
          const FormatSpec spec = spec_of(name, group, symmetric);
          if (name == "ternary" && !symmetric) continue;
          if (!PackedMatrix::refusal(spec, shape.columns, "cuda:0").empty()) continue;
          at::manual_seed(static_cast<std::uint64_t>(shape.rows + group));
          const PackedMatrix matrix = random_matrix(shape.rows, shape.columns, spec), there = matrix.to("cuda:0");
          for (const std::int64_t tokens : {1, 2, 3, 8, 9, 16, 17, 32, 33, 70, 200}) {
            SCOPED_TRACE(name + (symmetric ? " " : " asymmetric ") + std::to_string(group) + ", " +
                         std::to_string(shape.rows) + " x " + std::to_string(shape.columns) + ", " +
                         std::to_string(tokens) + " tokens");
            expect_the_bits_of_the_cpu(matrix, there, at::randn({tokens, shape.columns}) * 3);
          }
        }
      }
    }
  }
}

TEST_F(OnGpu, TakesWideAndEmptyAndAllZeroTokens) {
  at::manual_seed(3);
  const FormatSpec spec = spec_of("ternary", 128);
  const PackedMatrix matrix = random_matrix(32, 28672, spec), there = matrix.to("cuda:0");
  for (const std::int64_t tokens : {0, 1, 5, 20}) expect_the_bits_of_the_cpu(matrix, there, at::randn({tokens, 28672}));
  expect_the_bits_of_the_cpu(matrix, there, at::zeros({2, 28672}));
}

TEST_F(OnGpu, IsExactAtTheLargestSums) {
  for (const std::string name : {"ternary", "int4", "int8"}) {
    const FormatSpec spec = spec_of(name, 0);
    const LevelRange range = spec.format->levels(true);
    const QuantizedMatrix full{at::full({16, 65536}, range.highest, at::kChar), at::ones({16, 1}, at::kHalf), {}};
    const PackedMatrix matrix(pack(full, spec)), there = matrix.to("cuda:0");
    for (const std::int64_t tokens : {1, 8, 16}) {
      expect_the_bits_of_the_cpu(matrix, there, at::full({tokens, 65536}, -1.0));
    }
  }
}

TEST_F(OnGpu, ReadsRows) {
  for (const std::string name : {"ternary", "int4", "int8"}) {
    const PackedMatrix matrix = random_matrix(50, 320, spec_of(name, 64)), there = matrix.to("cuda:0");
    const at::Tensor rows = at::randint(0, 50, {19}, at::kLong);
    EXPECT_TRUE(at::equal(there.values_of_rows(rows.to("cuda:0")).cpu(), matrix.values_of_rows(rows)));
  }
}

TEST_F(OnGpu, RefusesGroupsBetweenItsStepsAndOperandsApart) {
  const PackedMatrix narrow = random_matrix(16, 64, spec_of("int8", 32));
  EXPECT_THROW(narrow.to("cuda:0"), ConfigError);
  const PackedMatrix there = random_matrix(16, 64, spec_of("int8", 64)).to("cuda:0");
  EXPECT_THROW(multiply(quantize_tokens(at::randn({1, 64})), there), DataError);
}

}  // namespace
}  // namespace tercet
