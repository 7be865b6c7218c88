#include "job/storage_plan.hpp"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/errors.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

Parameter parameter(const std::string& name, Role role, std::int64_t out, std::int64_t in) {
  Parameter result;
  result.name = name;
  result.role = role;
  result.value = at::zeros({out, in});
  return result;
}

std::vector<Parameter> model(std::int64_t width = 96) {
  return {parameter("embed", Role::kEmbedding, 32, width), parameter("up", Role::kUp, 144, width),
          parameter("down", Role::kDown, width, 144), parameter("head", Role::kHead, 32, width)};
}

TEST(StoragePlan, TakesTheFormatsOfTheConfiguration) {
  QuantizationSection settings;
  settings.format = "int3";
  settings.symmetric = false;
  settings.group_size = 48;
  settings.embedding_bits = "4";
  settings.head_bits = "ternary";
  settings.table_group_size = 32;
  settings.skip = {"down"};
  const std::vector<ParameterPlan> plan = job::plan_storage(settings, model());
  EXPECT_EQ(plan[0].spec->format->name(), "int4");
  EXPECT_EQ(plan[0].spec->group_size, 32);
  EXPECT_EQ(plan[1].spec->format->name(), "int3");
  EXPECT_FALSE(plan[1].spec->symmetric);
  EXPECT_EQ(plan[1].spec->group_size, 48);
  EXPECT_EQ(plan[2].spec->format->name(), "float16");
  EXPECT_EQ(plan[3].spec->format->name(), "ternary");
}

TEST(StoragePlan, NamesTheNearestGroupThatDividesEveryWidth) {
  QuantizationSection settings;
  settings.format = "int4";
  settings.group_size = 64;
  const std::string message = test::message_of<ConfigError>([&] { job::plan_storage(settings, model()); });
  EXPECT_MENTIONS(message, "quantization.group_size: 64 does not divide the 96 inputs of 'up'");
  EXPECT_MENTIONS(message, "48 divides every width");  // of 96 and 144
  settings.group_size = 48;
  settings.embedding_bits = "6";
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::plan_storage(settings, model()); }),
                  "quantization.table_group_size: 64 does not divide the 96 inputs of 'embed'");
}

TEST(StoragePlan, OffersAScalePerRowWhereNoGroupFits) {
  QuantizationSection settings;
  settings.format = "int4";
  settings.group_size = 64;
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::plan_storage(settings, model(86)); }), "channel works");
  settings.granularity = "channel";
  EXPECT_NO_THROW(job::plan_storage(settings, model(86)));
}

TEST(StoragePlan, LetsTritsHaveAShortLastGroup) {
  EXPECT_NO_THROW(job::plan_storage({}, model(86)));
}

}  // namespace
}  // namespace tercet
