#include "job/bit_choices.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "job/allocation_report.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/random.hpp"
#include "tercet/quant/number_format.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

JobConfig tiny_job() {
  JobConfig config;
  config.model.path = "/a/model";
  config.quantization.group_size = 16;
  config.quantization.embedding_bits = "16";
  config.target.like = "int3";
  config.allocation.formats = {{.format = "int2"}, {.format = "int3"}, {.format = "int4", .symmetric = "false"}};
  return config;
}

Decoder tiny() {
  ModelConfig config = test::tiny_config();
  config.json = llama_config_json(config);
  return Decoder::random(config, 1);
}

std::vector<std::vector<double>> random_losses(const job::BitChoices& choices, std::uint64_t seed) {
  std::vector<std::vector<double>> losses;
  std::uint64_t index = 0;
  for (const FreeLayer& layer : choices.layers()) {
    std::vector<double>& row = losses.emplace_back();
    for (std::size_t f = 0; f < layer.formats.size(); ++f)
      row.push_back(static_cast<double>(random_bits(seed, purpose_of("loss"), index++) % 1000) *
                    std::pow(4.0, -double(f)));
  }
  return losses;
}

TEST(BitChoices, OfferEveryMatrixInsideTheBlocksWhatItsRowsSay) {
  JobConfig config = tiny_job();
  config.allocation.formats.push_back({.role = "down", .format = "int8"});
  config.quantization.layers = {{.role = "query", .format = "int6"}};
  config.quantization.skip = {"*.0.*k_proj*"};
  const Decoder model = tiny();
  const job::BitChoices choices(config, model);
  EXPECT_EQ(choices.layers().size(), 14u - 1u + (model.config().tied_head ? 0u : 1u));  // head in int8, one key in fp16
  std::vector<std::size_t> second;
  for (const FreeLayer& layer : choices.layers()) {
    const Parameter& parameter = model.parameters()[layer.parameter];
    const bool settled = parameter.role == Role::kQuery || !is_block_linear(parameter.role);
    EXPECT_EQ(layer.formats.size(), settled ? 1u : parameter.role == Role::kDown ? 4u : 3u) << parameter.name;
    second.push_back(settled ? 0 : 1);
  }
  const auto storage = choices.storage(second);
  for (std::size_t i = 0; i < storage.size(); ++i) {
    const Parameter& parameter = model.parameters()[i];
    const std::string format = storage[i].spec->format->name();
    if (parameter.role == Role::kQuery) {
      EXPECT_EQ(format, "int6");
    } else if (parameter.role == Role::kUp) {
      EXPECT_EQ(format, "int3");
    }
  }
}

TEST(BitChoices, TakeTablesInWhereTheyMay) {
  JobConfig config = tiny_job();
  config.quantization.table_group_size = 16;
  config.allocation.tables = {"16", "8", "4"};
  const Decoder model = tiny();
  const job::BitChoices choices(config, model);
  ASSERT_EQ(choices.layers().size(), 14u + (model.config().tied_head ? 1u : 2u));
  EXPECT_EQ(choices.layers().front().formats.size(), 3u);
}

// What is predicted is what a writer writes, with zero points or without them.
TEST(BitChoices, KnowTheBytesOfTheFileAsWritten) {
  const JobConfig config = tiny_job();
  const Decoder model = tiny();
  const job::BitChoices choices(config, model);
  const test::ScratchFolder folder;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < choices.layers().size(); ++i)
      chosen.push_back(random_bits(seed, purpose_of("choice"), i) % choices.layers()[i].formats.size());
    const std::vector<ParameterPlan> storage = choices.storage(chosen);
    PackedModel packed = job::unfilled_artifact(config, model, storage);
    for (std::size_t i = 0; i < storage.size(); ++i) {
      const Parameter& parameter = model.parameters()[i];
      packed.tensors[i].stored = store(as_output_first(parameter.value, parameter.input_first), *storage[i].spec);
    }
    write_packed_model(folder / "packed.pt", packed);
    EXPECT_EQ(choices.packed_bytes(chosen), std::filesystem::file_size(folder / "packed.pt")) << "seed " << seed;
    EXPECT_GE(choices.packed_bytes(chosen), choices.smallest_bytes());
    EXPECT_LE(choices.packed_bytes(chosen), choices.largest_bytes());
  }
}

// Six free layers, so that all 729 choices can be tried with their true bytes. Padding may make the choice miss the
// best one by a state of some bytes, never by more, and never the budget.
TEST(BitChoices, WithinABudgetIsTheBestOfAllUpToPadding) {
  JobConfig config = tiny_job();
  config.quantization.layers = {{.match = "*.0.*", .format = "int3"}, {.role = "value", .format = "int3"}};
  const Decoder model = tiny();
  const job::BitChoices choices(config, model);
  std::vector<std::size_t> free;
  for (std::size_t i = 0; i < choices.layers().size(); ++i) {
    if (choices.layers()[i].formats.size() > 1) free.push_back(i);
  }
  ASSERT_EQ(free.size(), 6u);
  std::vector<std::pair<std::uint64_t, std::vector<std::size_t>>> all;
  for (std::size_t code = 0; code < 729; ++code) {
    std::vector<std::size_t> chosen(choices.layers().size(), 0);
    for (std::size_t rest = code, i = 0; i < 6; ++i, rest /= 3) chosen[free[i]] = rest % 3;
    all.emplace_back(choices.packed_bytes(chosen), chosen);
  }
  constexpr std::uint64_t kPadding = 128;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const auto losses = random_losses(choices, seed);
    const Frontier frontier = choices.frontier(losses);
    const std::uint64_t range = choices.largest_bytes() - choices.smallest_bytes();
    for (std::uint64_t part = 0; part <= 16; ++part) {
      const std::uint64_t budget = choices.smallest_bytes() + part * range / 16;
      double best = INFINITY;
      for (const auto& [bytes, chosen] : all) {
        double loss = 0;
        for (std::size_t i = 0; i < chosen.size(); ++i) loss += losses[i][chosen[i]];
        if (bytes + kPadding <= budget || (part == 0 && bytes <= budget)) best = std::min(best, loss);
      }
      const Choice found = choices.within(frontier, budget);
      EXPECT_LE(found.bytes, budget);
      EXPECT_EQ(found.bytes, choices.packed_bytes(found.candidates));
      EXPECT_LE(found.loss, best + 1e-9) << "seed " << seed << ", budget " << budget;
    }
  }
}

TEST(ByteBudget, FollowsTheTarget) {
  JobConfig config = tiny_job();
  const Decoder model = tiny();
  QuantizationSection uniform = config.quantization;
  uniform.format = "int3";
  const auto plan = job::plan_storage(uniform, model.parameters());
  EXPECT_EQ(job::byte_budget(config, model, 0), artifact_bytes(job::unfilled_artifact(config, model, plan)).packed);
  config.target = {.size_mb = 1.8};
  EXPECT_EQ(job::byte_budget(config, model, 0), 1'800'000u);
  config.target = {.ratio = 8};
  EXPECT_EQ(job::byte_budget(config, model, 0), static_cast<std::uint64_t>(model.parameter_count()) / 2);
  config.gates.compression_baseline = "file";
  EXPECT_EQ(job::byte_budget(config, model, 8000), 1000u);
  config.target = {.perplexity_degradation = 0.1};
  EXPECT_FALSE(job::byte_budget(config, model, 0).has_value());
}

TEST(ByteBudget, ThatCannotBeMetIsRefusedWithOneThatCan) {
  constexpr std::uint64_t kOriginalBytes = 1 << 30;
  JobConfig config = tiny_job();
  const Decoder model = tiny();
  for (const bool by_ratio : {false, true}) {
    config.target = by_ratio ? TargetSection{.ratio = 50} : TargetSection{.size_mb = 0.001};
    const auto check = [&] { job::check_budget(config, model, job::BitChoices(config, model), kOriginalBytes); };
    const std::string message = test::message_of<ConfigError>(check);
    const std::string key = by_ratio ? "target.ratio: " : "target.size_mb: ";
    EXPECT_MENTIONS(message, key + (by_ratio ? "50.0" : "0.001") + " cannot be met");
    const std::size_t at = message.rfind(key);
    const double works = std::stod(message.substr(at + key.size()));
    config.target = by_ratio ? TargetSection{.ratio = works} : TargetSection{.size_mb = works};
    EXPECT_NO_THROW(check()) << message;
  }
}

TEST(ByteBudget, ThatTheOriginalMeetsIsRefusedWithOneThatAsksForSomething) {
  JobConfig config = tiny_job();
  const Decoder model = tiny();
  const auto original = static_cast<std::uint64_t>(4 * model.parameter_count());
  for (const TargetSection& target : {TargetSection{.size_mb = 50}, TargetSection{.ratio = 1}}) {
    config.target = target;
    const auto check = [&] { job::check_budget(config, model, job::BitChoices(config, model), original); };
    const std::string message = test::message_of<ConfigError>(check);
    EXPECT_MENTIONS(message, "is met by the original as it is");
    const std::string key = target.ratio > 0 ? "target.ratio: " : "target.size_mb: ";
    const double works = std::stod(message.substr(message.rfind(key) + key.size()));
    config.target = target.ratio > 0 ? TargetSection{.ratio = works} : TargetSection{.size_mb = works};
    EXPECT_NO_THROW(check()) << message;
  }
}

TEST(BitChoices, RefuseACandidateThatDoesNotFit) {
  JobConfig config = tiny_job();
  const Decoder model = tiny();
  config.allocation.formats.push_back({.format = "int6", .group_size = 24});
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::BitChoices(config, model); }),
                  "allocation.formats[3].group_size: 24 does not divide");
  config.allocation.formats.back() = {.role = "fused_qkv", .format = "int6"};
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::BitChoices(config, model); }), "allocation.formats[3]");
  config = tiny_job();
  config.quantization.layers = {{.match = "*.layers.*", .format = "int4"}};
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::BitChoices(config, model); }), "nothing to choose");
}

TEST(AllocationTable, HasARowForEachBlock) {
  const JobConfig config = tiny_job();
  const Decoder model = tiny();
  const job::BitChoices choices(config, model);
  Choice choice;
  for (const FreeLayer& layer : choices.layers()) choice.candidates.push_back(layer.formats.size() - 1);
  choice.candidates[0] = 0;
  const std::string table = job::allocation_table(config.quantization, model, choices, choice);
  EXPECT_MENTIONS(table, "query");
  EXPECT_MENTIONS(table, "int2");
  EXPECT_MENTIONS(table, "int4 asymmetric");
  const auto lines = std::count(table.begin(), table.end(), '\n');
  EXPECT_EQ(lines, model.config().tied_head ? 4 : 5);  // heading, line, two blocks, tables
}

}  // namespace
}  // namespace tercet
