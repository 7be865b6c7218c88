// The custom autograd functions against numeric differentiation (fp64) and against plain ATen operations.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "model/activation_quantization.hpp"
#include "model/attention.hpp"
#include "model/cached_attention.hpp"
#include "model/heads.hpp"
#include "model/linear.hpp"
#include "model/rms_norm.hpp"
#include "model/swiglu.hpp"

namespace tercet {
namespace {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<Tensors(const Tensors&)>;

at::Tensor weighted_sum(const Tensors& outputs) {
  at::Tensor total;
  for (const auto& out : outputs) {
    const at::Tensor weights = at::arange(out.numel(), out.options()).mul(0.37).sin().view(out.sizes());
    const at::Tensor term = (out * weights).sum();
    total = total.defined() ? total + term.to(total.scalar_type()) : term;
  }
  return total;
}

Tensors gradients(const Function& f, const Tensors& inputs) {
  Tensors leaves, grads;
  for (const auto& x : inputs) leaves.push_back(x.detach().clone().set_requires_grad(true));
  weighted_sum(f(leaves)).backward();
  for (const auto& leaf : leaves) grads.push_back(leaf.grad());
  return grads;
}

void expect_numeric_gradients(const Function& f, const Tensors& inputs) {
  const Tensors analytic = gradients(f, inputs);
  constexpr double kStep = 1e-6;
  for (std::size_t which = 0; which < inputs.size(); ++which) {
    ASSERT_TRUE(analytic[which].defined()) << "input " << which;
    for (std::int64_t i = 0; i < inputs[which].numel(); ++i) {
      double side[2];
      for (int s = 0; s < 2; ++s) {
        Tensors moved = inputs;
        moved[which] = inputs[which].clone();
        moved[which].view(-1)[i] += s == 0 ? kStep : -kStep;
        side[s] = weighted_sum(f(moved)).item<double>();
      }
      const double expected = (side[0] - side[1]) / (2 * kStep);
      EXPECT_NEAR(analytic[which].view(-1)[i].item<double>(), expected, 1e-6 * (1 + std::abs(expected)))
          << "input " << which << " element " << i;
    }
  }
}

void expect_same(const Function& own, const Function& reference, const Tensors& inputs, double tolerance) {
  const Tensors a = own(inputs), b = reference(inputs);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE((a[i].to(at::kDouble) - b[i].to(at::kDouble)).abs().max().item<double>(), tolerance) << "output " << i;
  }
  const Tensors da = gradients(own, inputs), db = gradients(reference, inputs);
  for (std::size_t i = 0; i < da.size(); ++i) {
    const double scale = std::max(1.0, db[i].abs().max().item<double>());
    EXPECT_EQ(da[i].scalar_type(), inputs[i].scalar_type());
    EXPECT_LE((da[i].to(at::kDouble) - db[i].to(at::kDouble)).abs().max().item<double>(), tolerance * scale)
        << "gradient " << i;
  }
}

at::Tensor random(at::IntArrayRef shape, at::ScalarType type = at::kDouble) {
  return at::randn(shape, at::kDouble).to(type);
}

Function norm_with(decltype(&add_rms_norm) f, at::ScalarType type) {
  return [f, type](const Tensors& x) -> Tensors {
    const NormResult r = x.size() == 3 ? f(x[0], x[1], x[2], 1e-5, type) : f(x[0], {}, x[1], 1e-5, type);
    return {r.normalised, r.sum};
  };
}

TEST(RmsNorm, GradientsEqualNumericDifferentiation) {
  at::manual_seed(1);
  expect_numeric_gradients(norm_with(add_rms_norm, at::kDouble), {random({3, 21}), random({3, 21}), random({21})});
  expect_numeric_gradients(norm_with(add_rms_norm, at::kDouble), {random({3, 21}), random({21})});
}

TEST(RmsNorm, EqualsThePlainExpressionInFp32AndUnderAutocastTypes) {
  at::manual_seed(2);
  const Tensors fp32{random({300, 70}, at::kFloat), random({300, 70}, at::kFloat), random({70}, at::kFloat)};
  expect_same(norm_with(add_rms_norm, at::kFloat), norm_with(add_rms_norm_reference, at::kFloat), fp32, 1e-5);
  const Tensors mixed{fp32[0], fp32[1].to(at::kBFloat16), fp32[2]};
  expect_same(norm_with(add_rms_norm, at::kBFloat16), norm_with(add_rms_norm_reference, at::kBFloat16), mixed, 0.03);
  const Tensors heads{fp32[0].to(at::kBFloat16), fp32[2]};
  expect_same(norm_with(add_rms_norm, at::kBFloat16), norm_with(add_rms_norm_reference, at::kBFloat16), heads, 0.03);
}

TEST(RmsNorm, PassesTheGradientOfTheSumWhenTheNormIsNotUsed) {
  at::manual_seed(3);
  const Function sum_only = [](const Tensors& x) -> Tensors {
    return {add_rms_norm(x[0], x[1], x[2].detach(), 1e-5, at::kDouble).sum};
  };
  Tensors inputs{random({2, 5}), random({2, 5}), random({5})};
  const Tensors grads = gradients(sum_only, inputs);
  EXPECT_TRUE(at::equal(grads[0], grads[1]));
  EXPECT_FALSE(grads[2].defined());
}

TEST(Swiglu, GradientsEqualNumericDifferentiation) {
  at::manual_seed(4);
  expect_numeric_gradients([](const Tensors& x) -> Tensors { return {swiglu(x[0])}; }, {random({3, 38}) * 3});
}

TEST(Swiglu, EqualsThePlainExpression) {
  at::manual_seed(5);
  const Function own = [](const Tensors& x) -> Tensors { return {swiglu(x[0])}; };
  const Function plain = [](const Tensors& x) -> Tensors { return {swiglu_reference(x[0])}; };
  const at::Tensor wide = random({50, 334}, at::kFloat) * 10;
  expect_same(own, plain, {wide}, 2e-5);
  expect_same(own, plain, {wide.to(at::kBFloat16)}, 4.0);  // one bf16 step at the largest products (~600)
  const at::Tensor extreme = at::zeros({1, 4}, at::kFloat).add_(1);
  extreme[0][0] = -200;
  extreme[0][1] = 200;
  EXPECT_TRUE(at::allclose(swiglu(extreme), swiglu_reference(extreme), 1e-6, 1e-6));
}

struct HeadCase {
  HeadLayout layout;
  std::int64_t columns, rotary;
};

std::vector<HeadCase> head_cases() {
  return {{HeadLayout::blocks(4, 2, 6), 48, 6},      // grouped queries
          {HeadLayout::blocks(3, 3, 6), 54, 0},      // learned positions
          {HeadLayout::interleaved(2, 10), 60, 4}};  // partial rotation
}

Function split_with(decltype(&split_heads) f, const HeadCase& c, at::ScalarType type) {
  return [=](const Tensors& x) -> Tensors {
    at::Tensor cos, sin;
    if (c.rotary > 0) {
      const at::Tensor angle = at::arange(x[0].size(1) * c.rotary / 2, type).view({x[0].size(1), -1});
      cos = angle.cos();
      sin = angle.sin();
    }
    const Heads h = f(x[0], c.layout, cos, sin);
    return {h.query, h.key, h.value};
  };
}

TEST(Heads, GradientsEqualNumericDifferentiation) {
  at::manual_seed(6);
  for (const auto& c : head_cases()) {
    expect_numeric_gradients(split_with(split_heads, c, at::kDouble), {random({2, 3, c.columns})});
  }
}

TEST(Heads, EqualThePlainExpression) {
  at::manual_seed(7);
  for (const auto& c : head_cases()) {
    const at::Tensor x = random({2, 70, c.columns}, at::kFloat);
    const auto own = split_with(split_heads, c, at::kFloat), plain = split_with(split_heads_reference, c, at::kFloat);
    expect_same(own, plain, {x}, 1e-5);
    const Tensors from_bf16 = own({x.to(at::kBFloat16)});
    const Tensors expected = plain({x.to(at::kBFloat16).to(at::kFloat)});
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(at::allclose(from_bf16[i], expected[i], 1e-5, 1e-5));
  }
}

// ATen's attention is the judge; its own gradients are tested upstream.
TEST(Attention, EqualsAtensWithGradientsForAnyShape) {
  at::manual_seed(11);
  struct Case {
    std::int64_t heads, positions, head_dim, window;
  };
  for (const auto& c : {Case{2, 1, 8, 0}, Case{3, 37, 22, 0}, Case{2, 256, 32, 0}, Case{2, 75, 64, 0},
                        Case{2, 130, 6, 7}, Case{1, 100, 40, 36}, Case{1, 65, 16, 64}, Case{1, 40, 130, 1}}) {
    at::Tensor mask;
    if (c.window > 0) {
      const at::Tensor i = at::arange(c.positions, at::kLong);
      const at::Tensor distance = i.unsqueeze(1) - i.unsqueeze(0);
      mask = distance.ge(0).logical_and(distance.lt(c.window));
    }
    const Function own = [&](const Tensors& x) -> Tensors { return {attend(x[0], x[1], x[2], mask, c.window)}; };
    const Function aten = [&](const Tensors& x) -> Tensors { return {attend_reference(x[0], x[1], x[2], mask)}; };
    Tensors inputs;
    for (int i = 0; i < 3; ++i) inputs.push_back(random({2, c.heads, c.positions, c.head_dim}, at::kFloat) * 2);
    SCOPED_TRACE(std::to_string(c.positions) + " positions, head_dim " + std::to_string(c.head_dim));
    expect_same(own, aten, inputs, 2e-5);
  }
}

// In tiles, and as they are where a CPU has no loops for that.
std::vector<KeptHeads> rooms(std::int64_t kv_heads, std::int64_t capacity, std::int64_t head_dim) {
  const auto plain = [&] { return at::empty({kv_heads, capacity, head_dim}, at::kFloat); };
  return {room_for_heads(kv_heads, capacity, head_dim, "cpu"), {plain(), plain()}};
}

// The last position of a prompt of half of them at once and the others one by one, beside all at once.
void expect_last_as_of_all(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                           const KeptHeads& kept) {
  const std::int64_t positions = query.size(2), prompt = (positions + 1) / 2;
  keep_heads(kept, 0, keys.narrow(2, 0, prompt), values.narrow(2, 0, prompt));
  for (std::int64_t i = prompt; i < positions; ++i) keep_heads(kept, i, keys.narrow(2, i, 1), values.narrow(2, i, 1));
  for (const std::int64_t window : {0, 1, 40}) {
    const std::int64_t seen = window == 0 ? positions : std::min(window, positions), first = positions - seen;
    const at::Tensor last = attend_last(query.narrow(2, positions - 1, 1), kept, positions, window);
    const at::Tensor all =
        attend_reference(query.narrow(2, first, seen), keys.narrow(2, first, seen), values.narrow(2, first, seen), {});
    EXPECT_TRUE(at::allclose(last, all.narrow(1, seen - 1, 1), 1e-5, 1e-6))
        << query.sizes() << ", keys " << kept.keys.sizes() << ", window " << window;
  }
}

TEST(Attention, OfTheLastPositionEqualsThatOfAllForAnyShape) {
  constexpr std::int64_t kCopies = 4;  // heads of queries that share one of keys
  for (const std::int64_t head_dim : {6, 64, 80}) {
    for (const std::int64_t kv_heads : {1, 3}) {
      for (const std::int64_t positions : {2, 32, 33, 77}) {
        const at::Tensor query = at::randn({1, kCopies * kv_heads, positions, head_dim});
        const at::Tensor keys = at::randn({1, kv_heads, positions, head_dim}).repeat_interleave(kCopies, 1);
        const at::Tensor values = at::randn({1, kv_heads, positions, head_dim}).repeat_interleave(kCopies, 1);
        for (const KeptHeads& kept : rooms(kv_heads, positions + 3, head_dim)) {
          expect_last_as_of_all(query, keys, values, kept);
        }
      }
    }
  }
}

TEST(Linear, GradientsOfAGroupEqualNumericDifferentiationInBothLayouts) {
  at::manual_seed(8);
  for (const bool input_first : {false, true}) {
    const Function f = [=](const Tensors& x) -> Tensors {
      return {linear_group(x[0], {x[1], x[2]}, {x[3], at::Tensor()}, input_first)};
    };
    const at::Tensor a = random({4, 5}), b = random({3, 5});
    const Tensors weights = input_first ? Tensors{a.t().contiguous(), b.t().contiguous()} : Tensors{a, b};
    expect_numeric_gradients(f, {random({6, 5}), weights[0], weights[1], random({4})});
  }
}

TEST(Linear, OfOneTokenWithoutGradientsIsARowOfTheGroup) {
  at::manual_seed(11);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const bool input_first : {false, true}) {
      const at::Tensor x = random({3, 64}, type);
      Tensors weights{random({40, 64}, at::kFloat), random({24, 64}, type)};
      if (input_first) weights = {weights[0].t().contiguous(), weights[1].t().contiguous()};
      const Tensors biases{at::Tensor(), random({24}, at::kFloat)};
      const at::Tensor group = linear_group(x, weights, biases, input_first);
      const at::NoGradGuard no_grad;
      const at::Tensor one = linear_group(x.narrow(0, 1, 1), weights, biases, input_first);
      EXPECT_EQ(one.scalar_type(), type);
      const double tolerance = type == at::kFloat ? 1e-5 : 3e-2;  // of a sum of 64 products, and of itself
      EXPECT_TRUE(at::allclose(one.to(at::kFloat), group.narrow(0, 1, 1).to(at::kFloat), tolerance, 8 * tolerance));
    }
  }
}

TEST(ActivationQuantization, EqualsItsFormulaOnEveryToken) {
  at::manual_seed(9);
  at::Tensor x = random({65, 172}, at::kFloat);
  x[3].zero_();  // an all-zero token stays zero
  const at::Tensor got = fake_quantize_rows(x, at::kFloat);
  EXPECT_TRUE(at::equal(got, fake_quantize_rows_reference(x, at::kFloat)));
  for (std::int64_t row = 0; row < x.size(0); ++row) {
    const float largest = std::max(x[row].abs().max().item<float>(), 1e-5f);
    for (std::int64_t i = 0; i < 20; ++i) {
      const float q = std::clamp(std::nearbyint(x[row][i].item<float>() * (127.0f / largest)), -128.0f, 127.0f);
      ASSERT_EQ(got[row][i].item<float>(), q * (largest / 127.0f)) << "row " << row << " column " << i;
    }
  }
}

TEST(ActivationQuantization, WhatIsNoNumberStaysAloneInItsToken) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t width : {1, 33, 200}) {
      const at::Tensor x = random({2, width}, type);
      const at::Tensor whole = fake_quantize_rows(x, type);
      const at::Tensor widened = at::cat({x, at::full({2, 1}, -std::numeric_limits<float>::quiet_NaN(), type)}, 1);
      const at::Tensor got = fake_quantize_rows(widened, type);
      EXPECT_TRUE(at::equal(got.narrow(1, 0, width), whole));
      EXPECT_TRUE(std::isnan(got[1][width].item<float>()));
    }
  }
}

TEST(ActivationQuantization, TakesNumbersOfAnySize) {
  at::manual_seed(11);
  const at::Tensor ones = random({64, 48}, at::kFloat);
  for (const double size : {1e-44, 1e-38, 1e-30, 1e-5, 1.0, 1e30, 3.4e38}) {
    const at::Tensor x = ones / ones.abs().amax(1, true) * size;
    EXPECT_TRUE(at::equal(fake_quantize_rows(x, at::kFloat), fake_quantize_rows_reference(x, at::kFloat))) << size;
  }
}

TEST(ActivationQuantization, RoundsHalfToEven) {
  at::Tensor x = at::zeros({1, 5}, at::kFloat);
  const float values[] = {127.0f, 0.5f, 1.5f, -2.5f, -126.5f};
  const float expected[] = {127.0f, 0.0f, 2.0f, -2.0f, -126.0f};
  for (int i = 0; i < 5; ++i) x[0][i] = values[i];
  const at::Tensor got = fake_quantize_rows(x, at::kFloat);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(got[0][i].item<float>(), expected[i]);
}

TEST(ActivationQuantization, PassesTheGradientStraightThrough) {
  at::Tensor x = random({3, 8}, at::kFloat).set_requires_grad(true);
  const at::Tensor grad = random({3, 8}, at::kBFloat16);
  fake_quantize_rows(x, at::kBFloat16).backward(grad);
  EXPECT_TRUE(at::equal(x.grad(), grad.to(at::kFloat)));
}

TEST(ActivationQuantization, TakesBfloat16) {
  at::manual_seed(10);
  const at::Tensor x = random({40, 64}, at::kBFloat16);
  const at::Tensor got = fake_quantize_rows(x, at::kBFloat16),
                   expected = fake_quantize_rows_reference(x, at::kBFloat16);
  EXPECT_TRUE(at::equal(got, expected));
}

}  // namespace
}  // namespace tercet
