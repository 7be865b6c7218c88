#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <vector>

#include "support/mpi_main.hpp"
#include "tercet/base/error.hpp"
#include "tercet/calib/calibrate.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

CalibrationOptions uneven_options() {
  CalibrationOptions options;
  options.samples = 23;  // shards of 3 and 4 sequences, batches of 2 and 1, ranks with different numbers of shards
  options.sequence_length = 12;
  options.shards = 7;
  options.batch = 2;
  options.second_moment = true;
  return options;
}

struct Outcome {
  std::vector<LayerStatistics> statistics;
  std::vector<QuantizedMatrix> ternary;
};

// What compress does with calibration: thresholds, then trits and scales.
Outcome calibrate_and_ternarize(Communicator& comm) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  Outcome outcome;
  outcome.statistics = calibrate(comm, model, uneven_options(), test::counting_sample);
  FormatSpec spec;
  spec.format = number_format("ternary");
  spec.group_size = 16;
  spec.rule = ScaleRule::kCalibrated;
  for (const LayerStatistics& layer : outcome.statistics) {
    const at::Tensor& weight = model.parameters()[layer.parameter].value;
    const at::Tensor thresholds = calibrate_format(weight, spec, layer.mean_square).thresholds;
    outcome.ternary.push_back(quantize(weight, spec, {thresholds, layer.mean_square, {}, {}, {}}));
  }
  return outcome;
}

TEST(CalibrateOnRanks, GivesTheBitsOfOneRankDownToTheTrits) {
  const auto self = make_self_communicator();
  const Outcome alone = calibrate_and_ternarize(*self), together = calibrate_and_ternarize(test::world());
  ASSERT_EQ(alone.statistics.size(), 14u);
  ASSERT_EQ(together.statistics.size(), alone.statistics.size());
  for (std::size_t i = 0; i < alone.statistics.size(); ++i) {
    const LayerStatistics& a = alone.statistics[i];
    const LayerStatistics& b = together.statistics[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.count, b.count) << a.name;
    EXPECT_EQ(a.absmax, b.absmax) << a.name;
    EXPECT_TRUE(at::equal(a.mean_square, b.mean_square)) << a.name;
    EXPECT_TRUE(at::equal(a.second_moment, b.second_moment)) << a.name;
    EXPECT_EQ(a.weight_absmean, b.weight_absmean) << a.name;
    EXPECT_EQ(a.weight_kurtosis, b.weight_kurtosis) << a.name;
    EXPECT_TRUE(at::equal(alone.ternary[i].levels, together.ternary[i].levels)) << a.name;
    EXPECT_TRUE(at::equal(alone.ternary[i].scales, together.ternary[i].scales)) << a.name;
  }
}

TEST(CalibrateOnRanks, RefusesFewerShardsThanRanksOnAllOfThem) {
  Communicator& comm = test::world();
  Decoder model = Decoder::random(test::tiny_config(), 1);
  CalibrationOptions options = uneven_options();
  options.shards = comm.size() - 1;
  EXPECT_THROW(calibrate(comm, model, options, test::counting_sample), ConfigError);
}

}  // namespace
}  // namespace tercet
