#include "tercet/kernels/packed_matrix.hpp"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "support/errors.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

constexpr InstructionSet kSets[] = {InstructionSet::kPortable, InstructionSet::kAvx2, InstructionSet::kAvx512};

bool is_here(InstructionSet set) {
  return set <= best_instruction_set();
}

FormatSpec spec_of(const std::string& name, Granularity granularity, std::int64_t group, bool symmetric = true) {
  const bool ternary = name.starts_with("ternary");
  return {number_format(name), granularity, group, ternary ? ScaleRule::kAbsmean : ScaleRule::kMinMax, symmetric};
}

// As the header's formula says it, in fp64, from the levels.
at::Tensor product_by_formula(const QuantizedTokens& x, const StoredTensor& stored) {
  const std::int64_t rows = stored.shape[0], columns = stored.shape[1];
  const std::int64_t group = stored.spec.granularity == Granularity::kGroup ? stored.spec.group_size : columns;
  const at::Tensor levels = unpack_levels(stored).to(at::kDouble);
  const at::Tensor column_group = at::arange(columns).div(group, "floor");
  const std::int64_t groups = (columns + group - 1) / group;
  const auto spread = [&](const at::Tensor& values) {
    const std::int64_t of_rows = values.dim() == 1 ? 1 : rows;
    return values.to(at::kDouble).reshape({of_rows, -1}).expand({rows, groups}).index_select(1, column_group);
  };
  at::Tensor weight = levels;
  if (stored.zero_points.defined())
    weight = weight - spread(stored.zero_points.to(at::kShort) - stored.spec.format->layout().zero);
  weight = weight * spread(stored.scales);
  const at::Tensor values = x.values.narrow(1, 0, columns).to(at::kDouble) * x.scales.to(at::kDouble).unsqueeze(1);
  return at::mm(values, weight.t());
}

struct Shape {
  std::int64_t rows, columns, tokens;
};

void expect_the_formula(const FormatSpec& spec, const Shape& shape) {
  SCOPED_TRACE(spec.format->name() + (spec.symmetric ? " " : " asymmetric ") + to_string(spec.granularity) + " " +
               std::to_string(spec.group_size) + ", " + std::to_string(shape.rows) + " x " +
               std::to_string(shape.columns) + ", " + std::to_string(shape.tokens) + " tokens");
  at::manual_seed(shape.rows * 1000 + shape.columns + shape.tokens);
  const StoredTensor stored = store(at::randn({shape.rows, shape.columns}), spec);
  const QuantizedTokens x = quantize_tokens(at::randn({shape.tokens, shape.columns}));
  const PackedMatrix matrix(stored);
  const at::Tensor wanted = product_by_formula(x, stored);
  const at::Tensor portable = multiply(x, matrix, InstructionSet::kPortable);
  ASSERT_EQ(portable.sizes(), wanted.sizes());
  const double magnitude = wanted.abs().max().item<double>();
  EXPECT_LT((portable.to(at::kDouble) - wanted).abs().max().item<double>(), 1e-5 * magnitude);
  for (const InstructionSet set : kSets) {
    if (!is_here(set)) continue;
    EXPECT_TRUE(at::equal(multiply(x, matrix, set), portable)) << to_string(set) << " differs from portable";
  }
}

TEST(PackedMatrix, MultipliesAsTheFormulaSaysInEveryFormatAndInstructionSet) {
  const std::vector<Shape> shapes = {{16, 64, 1}, {32, 128, 1}, {48, 192, 13}, {33, 172, 9}, {7, 20, 3}, {1, 16, 2}};
  for (const std::string name : {"ternary", "ternary5", "int2", "int3", "int4", "int6", "int8"}) {
    for (const Shape& shape : shapes) {
      expect_the_formula(spec_of(name, Granularity::kChannel, 0), shape);
      expect_the_formula(spec_of(name, Granularity::kTensor, 0), shape);
      if (shape.columns % 64 == 0 || name.starts_with("ternary"))
        expect_the_formula(spec_of(name, Granularity::kGroup, 64), shape);
      if (name.starts_with("ternary")) continue;
      expect_the_formula(spec_of(name, Granularity::kChannel, 0, false), shape);
      if (shape.columns % 32 == 0) expect_the_formula(spec_of(name, Granularity::kGroup, 32, false), shape);
    }
  }
}

TEST(PackedMatrix, GivesATokenTheSameBitsAloneAndAmongOthers) {
  at::manual_seed(1);
  const PackedMatrix matrix(store(at::randn({96, 256}), spec_of("ternary", Granularity::kGroup, 128)));
  const at::Tensor x = at::randn({11, 256});
  for (const InstructionSet set : kSets) {
    if (!is_here(set)) continue;
    const at::Tensor together = multiply(quantize_tokens(x), matrix, set);
    for (std::int64_t token = 0; token < x.size(0); ++token) {
      const at::Tensor alone = multiply(quantize_tokens(x.narrow(0, token, 1)), matrix, set);
      EXPECT_TRUE(at::equal(alone[0], together[token])) << to_string(set) << ", token " << token;
    }
  }
}

TEST(PackedMatrix, GivesSeveralSideBySideTheBitsOfEachAlone) {
  at::manual_seed(1);
  const PackedMatrix wide(store(at::randn({96, 256}), spec_of("ternary", Granularity::kGroup, 128)));
  const PackedMatrix ragged(store(at::randn({33, 256}), spec_of("int8", Granularity::kChannel, 0)));
  const PackedMatrix narrow(store(at::randn({16, 256}), spec_of("int4", Granularity::kGroup, 64, false)));
  const std::vector<std::vector<const PackedMatrix*>> lists = {
      {&wide}, {&wide, &narrow}, {&narrow, &wide, &ragged}, {&ragged, &wide}, {&ragged, &ragged, &narrow}};
  for (const std::int64_t tokens : {1, 40}) {
    const QuantizedTokens x = quantize_tokens(at::randn({tokens, 256}));
    for (const auto& list : lists) {
      std::vector<at::Tensor> alone;
      for (const PackedMatrix* matrix : list) alone.push_back(multiply(x, *matrix));
      EXPECT_TRUE(at::equal(multiply(x, list), at::cat(alone, 1)))
          << list.size() << " matrices, " << tokens << " tokens";
    }
  }
  EXPECT_THROW(multiply(quantize_tokens(at::randn({1, 128})), {&wide, &ragged}), DataError);
}

// Every code at its largest against every value at its largest: no sum may saturate or overflow.
TEST(PackedMatrix, IsExactAtTheLargestSums) {
  for (const std::string name : {"ternary", "int2", "int4", "int8"}) {
    const FormatSpec spec = spec_of(name, Granularity::kChannel, 0);
    const LevelRange range = spec.format->levels(true);
    for (const int level : {range.lowest, range.highest}) {
      const std::int64_t columns = 4096;
      const QuantizedMatrix full{at::full({16, columns}, level, at::kChar), at::ones({16, 1}, at::kHalf), {}};
      const PackedMatrix matrix(pack(full, spec));
      const QuantizedTokens x = quantize_tokens(at::cat({at::ones({5, columns}), -at::ones({4, columns})}));
      for (const InstructionSet set : kSets) {
        if (!is_here(set)) continue;
        const at::Tensor y = multiply(x, matrix, set);
        EXPECT_TRUE(at::allclose(y.narrow(0, 0, 5), at::full({5, 16}, double(level) * columns, at::kFloat), 1e-5));
        EXPECT_TRUE(at::allclose(y.narrow(0, 5, 4), at::full({4, 16}, -double(level) * columns, at::kFloat), 1e-5));
      }
    }
  }
}

TEST(PackedMatrix, TakesTokensAsTheModelSimulatesThem) {
  at::manual_seed(2);
  const at::Tensor x = at::cat({at::randn({4, 100}), at::zeros({1, 100})});
  const QuantizedTokens tokens = quantize_tokens(x);
  const at::Tensor absmax = x.abs().amax(-1, true).clamp_min(1e-5);
  const at::Tensor wanted = (x * (127.0 / absmax)).round().clamp(-128, 127);
  EXPECT_EQ(tokens.values.size(1), 112);
  EXPECT_TRUE(at::equal(tokens.values.narrow(1, 0, 100).to(at::kFloat), wanted));
  EXPECT_EQ(tokens.values.narrow(1, 100, 12).abs().max().item<int>(), 0);
  EXPECT_TRUE(at::allclose(tokens.scales, (absmax / 127.0).squeeze(1)));
}

TEST(PackedMatrix, GivesTheDequantizedValuesOfItsRows) {
  at::manual_seed(3);
  for (const std::string name : {"ternary", "int2", "int4", "int6", "int8"}) {
    for (const bool symmetric : {true, false}) {
      if (!symmetric && name == "ternary") continue;
      const StoredTensor stored = store(at::randn({37, 96}), spec_of(name, Granularity::kGroup, 32, symmetric));
      const at::Tensor rows = at::arange(36, -1, -3);
      EXPECT_TRUE(at::equal(PackedMatrix(stored).values_of_rows(rows), dequantize(stored).index_select(0, rows)))
          << name;
    }
  }
}

TEST(PackedMatrix, HasTheBytesOfItsCodesAndScales) {
  const PackedMatrix matrix(store(at::randn({64, 256}), spec_of("ternary", Granularity::kGroup, 64)));
  EXPECT_EQ(matrix.bytes(), 64u * 256 / 4 + 64u * 4 * 2);
}

TEST(PackedMatrix, IsTheSameOverItsPartsWhereverTheyLie) {
  at::manual_seed(4);
  for (const std::string name : {"ternary", "ternary5", "int2", "int3", "int4", "int6", "int8"}) {
    for (const bool symmetric : {true, false}) {
      if (!symmetric && name.starts_with("ternary")) continue;
      const FormatSpec spec = spec_of(name, Granularity::kGroup, 32, symmetric);
      const PackedMatrix matrix(store(at::randn({37, 100}), spec));
      const PackedParts parts = matrix.parts();
      const PackedMatrix over(spec, 37, 100, parts);
      EXPECT_EQ(over.parts().codes.const_data_ptr(), parts.codes.const_data_ptr()) << "nothing is copied";
      const QuantizedTokens x = quantize_tokens(at::randn({3, 100}));
      EXPECT_TRUE(at::equal(multiply(x, over), multiply(x, matrix))) << name;
      EXPECT_EQ(over.bytes(), matrix.bytes());
    }
  }
}

TEST(PackedMatrix, RefusesPartsThatAreNotAMatrixOfItsFormat) {
  const FormatSpec spec = spec_of("ternary", Granularity::kGroup, 64);
  const PackedParts parts = PackedMatrix(store(at::randn({40, 128}), spec)).parts();
  const auto message = [&](const std::function<void(PackedParts&)>& change, std::int64_t rows = 40) {
    PackedParts changed = parts;
    change(changed);
    return test::message_of<DataError>([&] { PackedMatrix(spec, rows, 128, changed); });
  };
  const auto nothing = [](PackedParts&) {};
  EXPECT_MENTIONS(message(nothing, 64), "the codes of a packed matrix");
  EXPECT_MENTIONS(message([](PackedParts& p) { p.codes = at::Tensor(); }), "are missing");
  EXPECT_MENTIONS(message([](PackedParts& p) { p.scales = p.scales.narrow(1, 0, 1); }), "shape");
  EXPECT_MENTIONS(message([](PackedParts& p) { p.scales = p.scales.to(at::kFloat); }), "type is Float");
  EXPECT_MENTIONS(message([](PackedParts& p) { p.codes = p.codes.transpose(0, 1).contiguous().transpose(0, 1); }),
                  "not contiguous");
  EXPECT_MENTIONS(message([](PackedParts& p) { p.zero_points = p.scales.to(at::kChar); }), "zero points");
  const at::Tensor bytes = at::zeros({parts.codes.numel() + 1}, at::kByte);
  EXPECT_MENTIONS(message([&](PackedParts& p) { p.codes = bytes.narrow(0, 1, p.codes.numel()).view(p.codes.sizes()); }),
                  "a multiple of 64 bytes");
}

TEST(PackedMatrix, SaysWhatItHasNoKernelsFor) {
  EXPECT_EQ(PackedMatrix::refusal(spec_of("ternary", Granularity::kGroup, 64), 172), "");
  EXPECT_NE(PackedMatrix::refusal(FormatSpec{}, 64), "");
  EXPECT_NE(PackedMatrix::refusal(spec_of("ternary", Granularity::kGroup, 24), 96), "");
  EXPECT_NE(PackedMatrix::refusal(spec_of("int8", Granularity::kChannel, 0), 70000), "");
  const StoredTensor stored = store(at::randn({8, 96}), spec_of("ternary", Granularity::kGroup, 24));
  EXPECT_MENTIONS(test::message_of<DataError>([&] { PackedMatrix matrix(stored); }), "groups of 24");
  const PackedMatrix matrix(store(at::randn({8, 64}), spec_of("ternary", Granularity::kTensor, 0)));
  EXPECT_MENTIONS(test::message_of<DataError>([&] { multiply(quantize_tokens(at::randn({1, 32})), matrix); }), "64");
}

TEST(InstructionSet, IsChosenByNameAndRefusedWhereItIsLacking) {
  EXPECT_EQ(instruction_set("auto"), best_instruction_set());
  EXPECT_EQ(instruction_set("portable"), InstructionSet::kPortable);
  EXPECT_EQ(used_instruction_set(), best_instruction_set());
  use_instruction_set("portable");
  EXPECT_EQ(used_instruction_set(), InstructionSet::kPortable);
  use_instruction_set("auto");
  EXPECT_EQ(used_instruction_set(), best_instruction_set());
  EXPECT_MENTIONS(test::message_of<ConfigError>([] { instruction_set("sse9"); }), "portable");
}

}  // namespace
}  // namespace tercet
