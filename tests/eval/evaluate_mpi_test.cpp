#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "tercet/base/error.hpp"
#include "tercet/eval/evaluate.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

Windows counting_windows(std::uint64_t count) {
  return {count, 16, test::counting_sample};
}

void expect_same_bits(const Evaluation& a, const Evaluation& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.nll, b.nll);
  EXPECT_EQ(a.perplexity, b.perplexity);
  EXPECT_EQ(a.top1_accuracy, b.top1_accuracy);
  EXPECT_EQ(a.top1_agreement, b.top1_agreement);
  EXPECT_EQ(a.kl, b.kl);
}

TEST(EvaluateOnRanks, GivesTheBitsOfOneRank) {
  const Decoder model = Decoder::random(test::tiny_config(), 1), reference = Decoder::random(test::tiny_config(), 2);
  const auto self = make_self_communicator();
  for (const std::uint64_t windows : {29, 8, 1}) {  // uneven batches, some ranks without one
    const EvaluationOptions options{3, false};
    expect_same_bits(evaluate(test::world(), model, counting_windows(windows), options, &reference),
                     evaluate(*self, model, counting_windows(windows), options, &reference));
  }
}

TEST(EvaluateOnRanks, FailsOnAllWhenOneBatchIsNotFinite) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  model.parameters()[0].value[0].fill_(std::numeric_limits<float>::quiet_NaN());
  Windows windows{20, 16, [](std::uint64_t index, std::span<std::int64_t> ids) {
                    for (auto& id : ids) id = index == 13 ? 0 : 1;
                  }};
  EXPECT_MENTIONS(test::message_of<NumericError>([&] {
                    evaluate(test::world(), model, windows, {2, false});
                  }),
                  "batch 6");
}

}  // namespace
}  // namespace tercet
