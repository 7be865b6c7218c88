#include "tercet/allocate/loss_search.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tercet {
namespace {

// Twenty layers with 2 to 8 bits each.
Frontier twenty_layers() {
  std::vector<std::vector<Candidate>> layers;
  for (int layer = 0; layer < 20; ++layer) {
    std::vector<Candidate>& row = layers.emplace_back();
    for (int bits = 2; bits <= 8; ++bits)
      row.push_back({static_cast<std::uint64_t>(100 * bits), (1 + 0.37 * layer) * std::pow(4.0, -bits)});
  }
  return Frontier(layers);
}

// Runs the search against a world where the loss is `truth` of the predicted one.
template <class Truth>
int run(LossSearch& search, const Truth& truth) {
  int trials = 0;
  while (const std::optional<Choice> choice = search.next()) {
    search.measured(*choice, truth(choice->loss));
    ++trials;
  }
  return trials;
}

TEST(LossSearch, IsOverAtOnceWhereThePredictionHolds) {
  const Frontier frontier = twenty_layers();
  LossSearch search(frontier, 0.5, 1.0, 6);
  EXPECT_EQ(run(search, [](double loss) { return loss; }), 1);
  ASSERT_NE(search.best(), nullptr);
  EXPECT_EQ(search.best()->choice.bytes, frontier.fewest_bytes(0.5)->bytes);
}

TEST(LossSearch, CorrectsAPredictionThatIsOffByAFactorAndBends) {
  const Frontier frontier = twenty_layers();
  for (const double factor : {0.2, 0.7, 3.0, 20.0}) {
    const auto truth = [&](double loss) { return factor * std::pow(loss, 1.3); };
    LossSearch search(frontier, 0.3, 1.0, 8);
    EXPECT_LE(run(search, truth), 8);
    ASSERT_NE(search.best(), nullptr) << factor;
    EXPECT_LE(search.best()->measured, 0.3);
    EXPECT_GE(search.best()->measured, 0.8 * 0.3) << "a smaller choice would have done, factor " << factor;
  }
}

TEST(LossSearch, BeginsInTheMiddleWhereNothingIsKnown) {
  const Frontier frontier = twenty_layers();
  LossSearch search(frontier, 0.01, std::nullopt, 8);
  const Choice first = search.next().value();
  EXPECT_LE(first.bytes, 10000u);  // between 4000 and 16000
  EXPECT_GE(first.bytes, 9900u);
  run(search, [](double loss) { return 0.002 * loss; });
  ASSERT_NE(search.best(), nullptr);
  EXPECT_GE(search.best()->measured, 0.9 * 0.01);
}

TEST(LossSearch, EndsWithTheFinestChoiceWhereNothingMeetsTheLimit) {
  const Frontier frontier = twenty_layers();
  LossSearch search(frontier, 0.001, 1.0, 3);
  run(search, [](double) { return 1.0; });
  EXPECT_EQ(search.best(), nullptr);
  EXPECT_LE(search.trials().size(), 3u);
  EXPECT_EQ(search.trials().back().choice.bytes, frontier.finest().bytes);
}

TEST(LossSearch, TakesTheSmallestChoiceWhereEvenThatIsGoodEnough) {
  const Frontier frontier = twenty_layers();
  LossSearch search(frontier, 1000, 1.0, 5);
  run(search, [](double loss) { return loss; });
  ASSERT_NE(search.best(), nullptr);
  EXPECT_EQ(search.best()->choice.bytes, frontier.smallest().bytes);
}

TEST(LossSearch, GoesOnWhenAMeasuredLossIsNegative) {
  const Frontier frontier = twenty_layers();
  LossSearch search(frontier, 0.1, 1.0, 4);
  run(search, [](double loss) { return loss - 0.2; });
  ASSERT_NE(search.best(), nullptr);
  EXPECT_LE(search.trials().size(), 4u);
}

}  // namespace
}  // namespace tercet
