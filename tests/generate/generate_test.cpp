#include "tercet/generate/generate.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "model/small_models.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

at::Tensor logits_of_probabilities(const std::vector<double>& probabilities) {
  return at::tensor(probabilities).log().to(at::kFloat);
}

std::vector<int> counts(const std::vector<double>& probabilities, SamplingOptions options, int draws) {
  std::vector<int> count(probabilities.size());
  for (int place = 0; place < draws; ++place) {
    ++count[static_cast<std::size_t>(
        sample(logits_of_probabilities(probabilities), options, static_cast<std::uint64_t>(place)))];
  }
  return count;
}

TEST(Sample, WithoutTemperatureTakesTheLikeliestAndOfEqualOnesTheFirst) {
  EXPECT_EQ(sample(at::tensor({0.1f, 3.0f, 2.0f}), {}, 0), 1);
  EXPECT_EQ(sample(at::tensor({3.0f, 3.0f, 2.0f}), {}, 0), 0);
}

TEST(Sample, DrawsByProbability) {
  SamplingOptions options;
  options.temperature = 1;
  const std::vector<int> count = counts({0.5, 0.3, 0.2}, options, 4000);
  EXPECT_NEAR(count[0], 2000, 130);  // four standard deviations
  EXPECT_NEAR(count[1], 1200, 120);
  EXPECT_NEAR(count[2], 800, 105);
  EXPECT_EQ(counts({0.5, 0.3, 0.2}, options, 4000), count);  // the same seed
  options.seed = 43;
  EXPECT_NE(counts({0.5, 0.3, 0.2}, options, 4000), count);
}

TEST(Sample, AtAHalvedTemperatureSquaresTheOdds) {
  SamplingOptions options;
  options.temperature = 0.5;
  const std::vector<int> count = counts({0.75, 0.25}, options, 4000);  // 9 : 1
  EXPECT_NEAR(count[0], 3600, 80);
}

TEST(Sample, KeepsToTheLikeliest) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_k = 2;
  EXPECT_EQ(counts({0.2, 0.3, 0.5}, options, 500)[0], 0);
  options.top_k = 0;
  options.top_p = 0.6;  // 0.5 is not enough, 0.5 + 0.3 is
  const std::vector<int> count = counts({0.2, 0.3, 0.5}, options, 500);
  EXPECT_EQ(count[0], 0);
  EXPECT_GT(count[1], 100);
  options.top_p = 1e-9;
  EXPECT_EQ(counts({0.2, 0.3, 0.5}, options, 100)[2], 100);
}

TEST(Sample, RefusesLogitsThatAreNotNumbers) {
  EXPECT_MENTIONS(
      test::message_of<NumericError>([] { sample(at::full({3}, std::numeric_limits<float>::quiet_NaN()), {}, 0); }),
      "not numbers");
}

class Generate : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_tokenizer(scratch_.path());
    tokenizer_ = open_tokenizer(scratch_.path());
    config_ = test::small_config(Family::kLlama);
    config_.vocab_size = tokenizer_->vocab_size();
  }
  test::ScratchFolder scratch_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ModelConfig config_;
};

TEST_F(Generate, TakesTheLikeliestTokenOfTheWholeTextEachTime) {
  const Decoder model = Decoder::random(config_, 5);
  GenerationOptions options;
  options.tokens = 10;
  const Generated result = generate(model, *tokenizer_, "abc", options);
  ASSERT_EQ(result.prompt.size(), 3u);
  std::vector<std::int32_t> text = result.prompt;
  for (const std::int32_t id : result.ids) {
    at::Tensor ids = at::empty({1, static_cast<std::int64_t>(text.size())}, at::kLong);
    std::copy(text.begin(), text.end(), ids.data_ptr<std::int64_t>());
    EXPECT_EQ(model.forward(ids)[0].select(0, -1).argmax().item<std::int64_t>(), id);
    text.push_back(id);
  }
  EXPECT_TRUE(result.ended || result.ids.size() == 10u);
}

TEST_F(Generate, GivesOutTheTextInPartsOfWholeCharacters) {
  const Decoder model = Decoder::random(config_, 6);
  GenerationOptions options;
  options.tokens = 60;
  options.sampling.temperature = 3;
  options.stop_at_end = false;
  std::string heard;
  const Generated result =
      generate(model, *tokenizer_, "caf\xC3\xA9 ", options, [&](std::string_view piece) { heard += piece; });
  EXPECT_EQ(heard, result.text);
  std::vector<std::int32_t> all = result.prompt;
  all.insert(all.end(), result.ids.begin(), result.ids.end());
  EXPECT_EQ(tokenizer_->decode(all), "caf\xC3\xA9 " + result.text);
}

TEST_F(Generate, EndsWhereTheModelHasNoMorePositions) {
  const Decoder model = Decoder::random(config_, 5);
  GenerationOptions options;
  options.tokens = 1000;
  options.stop_at_end = false;
  EXPECT_EQ(generate(model, *tokenizer_, "abcd", options).ids.size(), 60u);  // of 64
}

TEST_F(Generate, RefusesPromptsThatCannotGoOn) {
  const Decoder model = Decoder::random(config_, 5);
  EXPECT_MENTIONS(test::message_of<DataError>([&] { generate(model, *tokenizer_, "", {}); }), "no token");
  EXPECT_MENTIONS(test::message_of<DataError>([&] { generate(model, *tokenizer_, std::string(64, 'a'), {}); }),
                  "64 positions");
  EXPECT_MENTIONS(test::message_of<DataError>([&] { generate(model, *tokenizer_, "\xFF", {}); }), "UTF-8");
}

}  // namespace
}  // namespace tercet
