#include "job/decoding.hpp"

#include <gtest/gtest.h>

#include "job/storage_plan.hpp"
#include "model/small_models.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet::job {
namespace {

QuantizationSection by_tensor() {
  QuantizationSection settings;
  settings.granularity = "tensor";
  settings.rule = "absmean";
  return settings;
}

std::string refusal(Family family, const QuantizationSection& settings) {
  Decoder model = Decoder::random(test::small_config(family), 1);
  model.set_activation_bits(static_cast<int>(settings.activation_bits));
  const std::vector<ParameterPlan> storage = plan_storage(settings, model.parameters());
  return speed_refusal(Student(std::move(model), storage), "cpu");
}

TEST(SpeedRefusal, IsEmptyForWhatPackedKernelsMultiply) {
  QuantizationSection settings = by_tensor();
  for (const Family family : test::all_families()) EXPECT_EQ(refusal(family, settings), "") << to_string(family);
  settings.skip = {"*down_proj*"};  // kept in fp16 because somebody wants it so
  EXPECT_EQ(refusal(Family::kLlama, settings), "");
}

TEST(SpeedRefusal, NamesWhatHasNoKernel) {
  QuantizationSection settings = by_tensor();
  settings.granularity = "group";
  settings.group_size = 12;  // divides 24 and 36
  EXPECT_MENTIONS(refusal(Family::kLlama, settings), "14 of 14 quantized matrices");
  EXPECT_MENTIONS(refusal(Family::kLlama, settings), "groups of 12 are no multiple of 16");
  EXPECT_MENTIONS(refusal(Family::kGpt2, settings), "8 of 8 quantized matrices");  // 4 in each of 2 blocks
}

TEST(SpeedRefusal, IsTheActivationsWhereTheyStayFloats) {
  QuantizationSection settings = by_tensor();
  settings.activation_bits = 16;
  EXPECT_MENTIONS(refusal(Family::kLlama, settings), "int8 inputs");
}

class SamplePrompt : public testing::Test {
 protected:
  SamplePrompt() {
    write_byte_tokenizer(scratch_.path());
    tokenizer_ = open_tokenizer(scratch_.path());
  }
  // What a sample goes on from when the held-out text is this, `end` standing between documents.
  std::string prompt(const std::vector<std::string>& documents, std::int64_t window = 64) const {
    std::vector<std::int32_t> ids;
    for (const std::string& document : documents) {
      tokenizer_->encode(document, ids);
      ids.push_back(static_cast<std::int32_t>(tokenizer_->eos_token()));
    }
    ids.resize(std::max(ids.size(), static_cast<std::size_t>(window)), ids.front());
    return sample_prompt({}, windows_of(ids, window), *tokenizer_);
  }

  test::ScratchFolder scratch_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(SamplePrompt, IsTheBeginningOfTheFirstDocument) {
  EXPECT_EQ(prompt({"0123456789012345678901234567890123456789"}), "01234567890123456789012345678901");  // 32 tokens
  EXPECT_EQ(prompt({"0123456789"}, 10), "01234");                                                       // half a window
  EXPECT_EQ(prompt({"short", "another one"}), "short");
  EXPECT_EQ(prompt({"", "after an empty one"}), "after an empty one");
}

TEST_F(SamplePrompt, EndsWithAWholeCharacter) {
  // 31 letters and the first byte of two
  EXPECT_EQ(prompt({"0123456789012345678901234567890\xC3\xA4 and so on"}), "0123456789012345678901234567890");
}

TEST_F(SamplePrompt, OfTheConfigurationGoesBefore) {
  ReportSection report;
  report.sample_prompt = "my own";
  EXPECT_EQ(sample_prompt(report, windows_of({1, 2, 3, 4}, 4), *tokenizer_), "my own");
}

TEST_F(SamplePrompt, ThatCannotBeUsedIsRefused) {
  const ModelConfig model = test::small_config(Family::kLlama);  // 64 positions
  ReportSection report;
  EXPECT_NO_THROW(check_sample_prompt(report, *tokenizer_, model));
  report.sample_prompt = std::string(63, 'x');
  EXPECT_NO_THROW(check_sample_prompt(report, *tokenizer_, model));
  report.sample_prompt = std::string(64, 'x');
  const auto check = [&] { check_sample_prompt(report, *tokenizer_, model); };
  EXPECT_MENTIONS(test::message_of<ConfigError>(check), "report.sample_prompt has 64 tokens");
  report.sample_prompt = "\xFF";
  EXPECT_MENTIONS(test::message_of<ConfigError>(check), "not UTF-8");
  report.sample_tokens = 0;  // nobody asks for it
  EXPECT_NO_THROW(check());
}

}  // namespace
}  // namespace tercet::job
