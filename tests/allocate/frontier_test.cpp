#include "tercet/allocate/frontier.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "tercet/base/error.hpp"
#include "tercet/base/random.hpp"

namespace tercet {
namespace {

using Layers = std::vector<std::vector<Candidate>>;

std::uint64_t draw(std::uint64_t seed, std::uint64_t index, std::uint64_t below) {
  return random_bits(seed, purpose_of("frontier"), index) % below;
}

// Few different figures, so that there are ties, and candidates that are worse in both.
Layers random_layers(std::uint64_t seed, std::size_t layers) {
  Layers table;
  std::uint64_t index = 0;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    std::vector<Candidate>& row = table.emplace_back();
    const std::uint64_t count = 1 + draw(seed, index++, 4);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t bytes = draw(seed, index++, 12);
      row.push_back({bytes, static_cast<double>(draw(seed, index++, 16)) / 8 - 0.25});
    }
  }
  return table;
}

void for_each_choice(const Layers& layers, const std::function<void(const Choice&)>& use) {
  Choice choice{std::vector<std::size_t>(layers.size(), 0), 0, 0};
  const std::function<void(std::size_t)> from = [&](std::size_t layer) {
    if (layer == layers.size()) return use(choice);
    const Choice before = choice;
    for (std::size_t i = 0; i < layers[layer].size(); ++i) {
      choice = before;
      choice.candidates[layer] = i;
      choice.bytes += layers[layer][i].bytes;
      choice.loss += layers[layer][i].loss;
      from(layer + 1);
    }
    choice = before;
  };
  from(0);
}

void expect_adds_up(const Layers& layers, const Choice& choice) {
  std::uint64_t bytes = 0;
  double loss = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    bytes += layers[i].at(choice.candidates.at(i)).bytes;
    loss += layers[i].at(choice.candidates.at(i)).loss;
  }
  EXPECT_EQ(choice.bytes, bytes);
  EXPECT_EQ(choice.loss, loss);
}

TEST(Frontier, FindsTheLeastLossOfEveryBudgetAsTryingAllChoicesDoes) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Layers layers = random_layers(seed, 1 + seed % 6);
    const Frontier frontier(layers);
    EXPECT_TRUE(frontier.exact());
    for (std::uint64_t budget = 0; budget < 70; ++budget) {
      std::optional<double> best;
      std::uint64_t fewest = 0;
      for_each_choice(layers, [&](const Choice& choice) {
        if (choice.bytes > budget) return;
        if (!best || choice.loss < *best || (choice.loss == *best && choice.bytes < fewest)) {
          best = choice.loss;
          fewest = choice.bytes;
        }
      });
      const std::optional<Choice> found = frontier.least_loss(budget);
      ASSERT_EQ(found.has_value(), best.has_value()) << "seed " << seed << ", budget " << budget;
      if (!found) continue;
      EXPECT_EQ(found->loss, *best) << "seed " << seed << ", budget " << budget;
      EXPECT_EQ(found->bytes, fewest);
      expect_adds_up(layers, *found);
    }
  }
}

TEST(Frontier, FindsTheFewestBytesOfEveryLossAsTryingAllChoicesDoes) {
  for (std::uint64_t seed = 100; seed < 140; ++seed) {
    const Layers layers = random_layers(seed, 1 + seed % 6);
    const Frontier frontier(layers);
    for (int eighths = -16; eighths < 100; eighths += 3) {
      const double limit = eighths / 8.0;
      std::optional<std::uint64_t> fewest;
      for_each_choice(layers, [&](const Choice& choice) {
        if (choice.loss <= limit) fewest = std::min(fewest.value_or(choice.bytes), choice.bytes);
      });
      const std::optional<Choice> found = frontier.fewest_bytes(limit);
      ASSERT_EQ(found.has_value(), fewest.has_value()) << "seed " << seed << ", limit " << limit;
      if (!found) continue;
      EXPECT_EQ(found->bytes, *fewest);
      EXPECT_LE(found->loss, limit);
      expect_adds_up(layers, *found);
    }
  }
}

// By hand: two layers; 3 + 3 bytes is out of reach of 5, and the loss falls most by giving the bytes to the first.
TEST(Frontier, SpendsBytesWhereTheyHelpMost) {
  const Frontier frontier({{{1, 10}, {3, 1}}, {{1, 4}, {3, 1}}});
  const Choice choice = frontier.least_loss(5).value();
  EXPECT_EQ(choice.candidates, (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(choice.bytes, 4u);
  EXPECT_EQ(choice.loss, 5);
  EXPECT_EQ(frontier.smallest().bytes, 2u);
  EXPECT_EQ(frontier.finest().loss, 2);
  EXPECT_EQ(frontier.size(), 3u);
  EXPECT_FALSE(frontier.least_loss(1).has_value());
  EXPECT_FALSE(frontier.fewest_bytes(1.5).has_value());
}

// 40 layers whose sizes share no divisor: too many states to keep.
Layers wide_layers() {
  Layers layers;
  for (std::uint64_t layer = 0; layer < 40; ++layer) {
    const std::uint64_t size = 100'000 + draw(7, layer, 1'000'000);
    const double weight = 0.01 + static_cast<double>(draw(8, layer, 1000));
    std::vector<Candidate>& row = layers.emplace_back();
    for (const int bits : {2, 3, 4, 6})
      row.push_back({size * static_cast<std::uint64_t>(bits), weight * std::pow(4, -bits)});
  }
  return layers;
}

TEST(Frontier, ThinnedNeverExceedsABudgetAndLosesLittle) {
  const Layers layers = wide_layers();
  const Frontier coarse(layers, 1000), fine(layers);
  EXPECT_FALSE(coarse.exact());
  EXPECT_LE(coarse.size(), 1001u);
  for (std::uint64_t budget = coarse.smallest().bytes; budget < coarse.finest().bytes; budget += 1'500'000) {
    const Choice choice = coarse.least_loss(budget).value(), better = fine.least_loss(budget).value();
    EXPECT_LE(choice.bytes, budget);
    expect_adds_up(layers, choice);
    EXPECT_LE(better.loss, choice.loss * (1 + 1e-12)) << budget;
    EXPECT_LE(choice.loss, 1.05 * better.loss) << budget;
  }
}

TEST(Frontier, KeepsTheSmallestChoiceWhenThinned) {
  const Layers layers = wide_layers();
  std::uint64_t smallest = 0;
  for (const auto& row : layers) smallest += row.front().bytes;
  EXPECT_EQ(Frontier(layers, 50).smallest().bytes, smallest);
}

TEST(Frontier, RefusesALossThatIsNoNumber) {
  EXPECT_THROW(Frontier({{{1, std::numeric_limits<double>::quiet_NaN()}}}), NumericError);
}

TEST(Frontier, OfNoLayersIsOneEmptyChoice) {
  const Frontier frontier({});
  EXPECT_EQ(frontier.size(), 1u);
  EXPECT_TRUE(frontier.least_loss(0)->candidates.empty());
}

}  // namespace
}  // namespace tercet
