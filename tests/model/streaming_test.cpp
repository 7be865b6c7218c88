#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "model/small_models.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

NamedTensors in_bfloat16(const Decoder& model) {
  NamedTensors tensors;
  for (const Parameter& parameter : model.parameters()) {
    tensors.emplace_back(parameter.name, parameter.value.to(at::kBFloat16));
  }
  return tensors;
}

// Blocks of which a streamed value exists at this moment.
std::vector<int> blocks_in_memory(const Decoder& model) {
  std::vector<int> blocks;
  for (const Parameter& parameter : model.parameters()) {
    const bool there = parameter.streamed && parameter.streamed->held().defined();
    if (there && (blocks.empty() || blocks.back() != parameter.layer)) blocks.push_back(parameter.layer);
  }
  return blocks;
}

class StreamedModel : public ::testing::TestWithParam<Family> {
 protected:
  StreamedModel() : config_(test::small_config(GetParam())) {
    write_safetensors(file_, in_bfloat16(Decoder::random(config_, 5)));
  }
  Decoder load(Residence residence) const { return Decoder::load(config_, open_safetensors(file_), "cpu", residence); }

  test::ScratchFolder folder_;
  std::filesystem::path file_ = folder_ / "model.safetensors";
  ModelConfig config_;
};
INSTANTIATE_TEST_SUITE_P(Families, StreamedModel, ::testing::ValuesIn(test::all_families()),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(StreamedModel, ComputesTheBitsOfOneInMemory) {
  const at::NoGradGuard no_grad;
  const Decoder resident = load(Residence::kResident), streamed = load(Residence::kStreamed);
  const at::Tensor ids = test::some_ids(2, 9, config_.vocab_size);
  EXPECT_TRUE(at::equal(streamed.forward(ids), resident.forward(ids)));
  const at::Tensor stream = resident.embed(ids);
  EXPECT_TRUE(at::equal(streamed.embed(ids), stream));
  EXPECT_TRUE(at::equal(streamed.block(1, stream), resident.block(1, stream)));
  EXPECT_TRUE(at::equal(streamed.clone().forward_from(1, stream), resident.forward_from(1, stream)));
  EXPECT_EQ(streamed.parameter_count(), resident.parameter_count());
}

TEST_P(StreamedModel, HasTheWeightsOfOneBlockInMemoryAtATime) {
  const at::NoGradGuard no_grad;
  Decoder streamed = load(Residence::kStreamed);
  EXPECT_TRUE(blocks_in_memory(streamed).empty());
  std::vector<int> seen;
  streamed.set_observer([&](std::size_t index, const at::Tensor&) {
    const int block = streamed.parameters()[index].layer;
    const std::vector<int> there = blocks_in_memory(streamed);
    EXPECT_EQ(there, block < 0 ? std::vector<int>{} : std::vector<int>{block});
    if (seen.empty() || seen.back() != block) seen.push_back(block);
  });
  streamed.forward(test::some_ids(1, 5, config_.vocab_size));
  EXPECT_EQ(seen, (std::vector<int>{0, 1, -1}));
  EXPECT_TRUE(blocks_in_memory(streamed).empty());
}

TEST_P(StreamedModel, KeepsABlockAsLongAsSomebodyHoldsIt) {
  const at::NoGradGuard no_grad;
  const Decoder streamed = load(Residence::kStreamed);
  const at::Tensor stream = streamed.embed(test::some_ids(1, 5, config_.vocab_size));
  {
    const BlockHold outer = streamed.hold_block(1);
    streamed.block(1, stream);
    EXPECT_EQ(blocks_in_memory(streamed), std::vector<int>{1});
  }
  EXPECT_TRUE(blocks_in_memory(streamed).empty());
}

TEST_P(StreamedModel, IsRefusedWhenAWeightIsNotFinite) {
  NamedTensors tensors = in_bfloat16(Decoder::random(config_, 5));
  const auto inside = std::find_if(tensors.begin(), tensors.end(),
                                   [](const auto& named) { return named.first.find(".1.") != std::string::npos; });
  inside->second.fill_(std::numeric_limits<float>::infinity());
  write_safetensors(file_, tensors);
  EXPECT_MENTIONS(test::message_of<DataError>([&] { load(Residence::kStreamed); }), inside->first);
}

TEST(StreamedWeight, IsMadeOnceForAllWhoHoldItAtTheSameTime) {
  int made = 0;
  const auto weight = std::make_shared<StreamedWeight>([&] { return at::full({2}, ++made); });
  EXPECT_FALSE(weight->held().defined());
  std::shared_ptr<void> first = weight->hold();
  std::shared_ptr<void> second = weight->hold();
  first.reset();
  EXPECT_TRUE(weight->held().defined());
  second.reset();
  EXPECT_FALSE(weight->held().defined());
  EXPECT_EQ(made, 1);
  const std::shared_ptr<void> again = weight->hold();
  EXPECT_EQ(made, 2);
}

}  // namespace
}  // namespace tercet
