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

TEST(StoragePlan, KeepsAModelThatIsMeantToStayAsItIs) {
  QuantizationSection settings;
  settings.format = "float16";
  settings.embedding_bits = settings.head_bits = "16";
  for (const ParameterPlan& entry : job::plan_storage(settings, model())) {
    EXPECT_EQ(entry.spec->format->name(), "float16");
    EXPECT_FALSE(job::needs_calibration(entry));
  }
  settings.format = "ternary";
  settings.skip = {"up", "down"};
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::plan_storage(settings, model()); }),
                  "quantization.format: float16 keeps all of them");
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

TEST(StoragePlan, LetsTheLastRowThatNamesAMatrixCount) {
  QuantizationSection settings;
  settings.format = "int3";
  settings.group_size = 48;
  settings.table_group_size = 32;
  settings.layers = {{.match = "*", .format = "int4"}, {.role = "down", .granularity = "channel"}};
  const std::vector<ParameterPlan> plan = job::plan_storage(settings, model());
  EXPECT_EQ(plan[0].spec->format->name(), "int4");  // a name that fits, too
  EXPECT_EQ(plan[0].spec->group_size, 32);          // tables have their own groups
  EXPECT_EQ(plan[1].spec->format->name(), "int4");
  EXPECT_EQ(plan[1].spec->group_size, 48);
  EXPECT_EQ(plan[2].spec->format->name(), "int3");  // as quantization has it, not as the first row
  EXPECT_EQ(plan[2].spec->granularity, Granularity::kChannel);
}

TEST(StoragePlan, KeepsWhatIsSkippedWhateverARowSays) {
  QuantizationSection settings;
  settings.layers = {{.role = "down", .format = "int8", .group_size = 24}, {.role = "up", .format = "float16"}};
  settings.skip = {"head"};
  const std::vector<ParameterPlan> plan = job::plan_storage(settings, model());
  EXPECT_EQ(plan[1].spec->format->name(), "float16");
  EXPECT_EQ(plan[2].spec->format->name(), "int8");
  EXPECT_EQ(plan[2].spec->group_size, 24);
  EXPECT_EQ(plan[3].spec->format->name(), "float16");
}

TEST(StoragePlan, NamesTheNearestLayersForARowThatNamesNone) {
  const std::vector<Parameter> layers = {parameter("model.layers.0.mlp.down_proj.weight", Role::kDown, 96, 144),
                                         parameter("model.layers.1.mlp.down_proj.weight", Role::kDown, 96, 144),
                                         parameter("model.layers.1.mlp.up_proj.weight", Role::kUp, 144, 96)};
  QuantizationSection settings;
  const auto refused = [&](const LayerFormat& row) {
    settings.layers = {row};
    return test::message_of<ConfigError>([&] { job::plan_storage(settings, layers); });
  };
  const std::string misspelt = refused({.match = "*.down_prj.*", .format = "int4"});
  EXPECT_MENTIONS(misspelt, "quantization.layers[0]: '*.down_prj.*' matches no matrix");
  EXPECT_MENTIONS(misspelt, "'model.layers.0.mlp.down_proj.weight', 'model.layers.1.mlp.down_proj.weight'");
  EXPECT_MENTIONS(refused({.match = "model.layers.7.*", .format = "int4"}), "near it are 'model.layers.");
  EXPECT_MENTIONS(refused({.role = "query", .format = "int4"}), "it has down, up");
  EXPECT_MENTIONS(refused({.match = "*up_proj*", .role = "down", .format = "int4"}), "of the role 'down'");
  settings.layers.clear();
  settings.skip = {"*.down_prj.*"};
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::plan_storage(settings, layers); }),
                  "'*.down_prj.*' matches no parameter (near it are 'model.layers.0.mlp.down_proj.weight'");
}

TEST(StoragePlan, SaysWhichRowHasAGroupThatDoesNotDivideTheWidth) {
  QuantizationSection settings;
  settings.layers = {{.role = "up", .format = "int4", .group_size = 48},
                     {.role = "down", .format = "int4", .group_size = 64}};
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::plan_storage(settings, model()); }),
                  "quantization.layers[1].group_size: 64 does not divide the 144 inputs of 'down'");
}

}  // namespace
}  // namespace tercet
