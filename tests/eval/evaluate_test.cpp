#include "tercet/eval/evaluate.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tercet/base/error.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

constexpr std::int64_t kLength = 12;

std::vector<std::int32_t> some_text(std::size_t count) {
  std::vector<std::int32_t> ids(count);
  for (std::size_t i = 0; i < count; ++i) {
    ids[i] = static_cast<std::int32_t>(random_bits(1, purpose_of("text"), i) % test::kTinyVocab);
  }
  return ids;
}

EvaluationOptions quiet(std::int64_t batch = 4) {
  return {batch, false};
}

// One window and one position at a time, in doubles.
struct Direct {
  double nll = 0, correct = 0, agreeing = 0, kl = 0;
  std::int64_t tokens = 0;
};

std::vector<double> log_probabilities(const at::Tensor& logits, std::int64_t position) {
  const at::Tensor row = logits[0][position].to(at::kDouble).contiguous();
  std::vector<double> values(row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel());
  const double max = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double value : values) sum += std::exp(value - max);
  for (double& value : values) value -= max + std::log(sum);
  return values;
}

std::ptrdiff_t most_likely(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

Direct direct_evaluation(const Decoder& model, const Decoder& reference, const std::vector<std::int32_t>& text) {
  const at::NoGradGuard no_grad;
  Direct result;
  for (std::size_t begin = 0; begin + kLength <= text.size(); begin += kLength) {
    at::Tensor ids = at::empty({1, kLength}, at::kLong);
    for (std::int64_t i = 0; i < kLength; ++i) ids[0][i] = text[begin + static_cast<std::size_t>(i)];
    const at::Tensor logits = model.forward(ids), expected = reference.forward(ids);
    for (std::int64_t i = 0; i + 1 < kLength; ++i) {
      const auto next = static_cast<std::size_t>(text[begin + static_cast<std::size_t>(i) + 1]);
      const auto q = log_probabilities(logits, i), p = log_probabilities(expected, i);
      result.nll -= q[next];
      result.correct += most_likely(q) == static_cast<std::ptrdiff_t>(next) ? 1 : 0;
      result.agreeing += most_likely(q) == most_likely(p) ? 1 : 0;
      for (std::size_t k = 0; k < q.size(); ++k) result.kl += std::exp(p[k]) * (p[k] - q[k]);
      ++result.tokens;
    }
  }
  return result;
}

TEST(Evaluate, EqualsAComputationTokenByToken) {
  const std::vector<std::int32_t> text = some_text(100);
  const Decoder model = Decoder::random(test::tiny_config(), 1), reference = Decoder::random(test::tiny_config(), 2);
  const auto comm = make_self_communicator();
  const Evaluation got = evaluate(*comm, model, windows_of(text, kLength), quiet(), &reference);
  const Direct expected = direct_evaluation(model, reference, text);
  const auto tokens = static_cast<double>(expected.tokens);
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_NEAR(got.nll, expected.nll / tokens, 1e-6);
  EXPECT_NEAR(got.perplexity, std::exp(expected.nll / tokens), 1e-4);
  EXPECT_DOUBLE_EQ(got.top1_accuracy, expected.correct / tokens);
  EXPECT_DOUBLE_EQ(got.top1_agreement.value(), expected.agreeing / tokens);
  EXPECT_NEAR(got.kl.value(), expected.kl / tokens, 1e-6);
}

TEST(Evaluate, CountsWindowsTimesLengthMinusOneTokens) {
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  const auto comm = make_self_communicator();
  const Windows windows = windows_of(some_text(7 * kLength + 5), kLength);
  EXPECT_EQ(windows.count, 7u) << "what is left over is no window";
  EXPECT_EQ(evaluate(*comm, model, windows, quiet()).tokens, 7 * (kLength - 1));
  EXPECT_EQ(evaluate(*comm, model, windows.first(3), quiet()).tokens, 3 * (kLength - 1));
  EXPECT_EQ(evaluate(*comm, model, windows.first(0), quiet()).tokens, 7 * (kLength - 1)) << "0 means all";
  EXPECT_EQ(evaluate(*comm, model, windows.first(99), quiet()).tokens, 7 * (kLength - 1));
}

TEST(Evaluate, OfOneBatchSizeEqualsAnother) {
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  const auto comm = make_self_communicator();
  const Windows windows = windows_of(some_text(90), kLength);
  EXPECT_NEAR(evaluate(*comm, model, windows, quiet(1)).nll, evaluate(*comm, model, windows, quiet(100)).nll, 1e-6);
}

TEST(Evaluate, FindsNoDivergenceOfAModelFromItself) {
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  const auto comm = make_self_communicator();
  const Evaluation got = evaluate(*comm, model, windows_of(some_text(60), kLength), quiet(), &model);
  EXPECT_EQ(got.kl, 0.0);
  EXPECT_EQ(got.top1_agreement, 1.0);
}

TEST(Evaluate, SaysNothingOfAReferenceThatIsNotThere) {
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  const auto comm = make_self_communicator();
  const Evaluation got = evaluate(*comm, model, windows_of(some_text(60), kLength), quiet());
  EXPECT_FALSE(got.kl.has_value());
  EXPECT_FALSE(got.top1_agreement.has_value());
}

TEST(Evaluate, RefusesTextShorterThanOneWindow) {
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  const auto comm = make_self_communicator();
  EXPECT_THROW(evaluate(*comm, model, windows_of(some_text(kLength - 1), kLength), quiet()), DataError);
}

TEST(Evaluate, RefusesAModelOrReferenceWithNotANumber) {
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  Decoder broken = model.clone();
  broken.parameters().back().value[0][0] = std::numeric_limits<float>::quiet_NaN();
  const auto comm = make_self_communicator();
  const Windows windows = windows_of(some_text(60), kLength);
  EXPECT_THROW(evaluate(*comm, broken, windows, quiet()), NumericError);
  EXPECT_THROW(evaluate(*comm, model, windows, quiet(), &broken), NumericError);
}

}  // namespace
}  // namespace tercet
