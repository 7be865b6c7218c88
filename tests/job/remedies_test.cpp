#include "job/remedies.hpp"

#include <gtest/gtest.h>

#include <set>

#include "job/layer_formats.hpp"
#include "tercet/quant/number_format.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

using job::choose_remedy;
using job::RemedyRequest;

RemedyRequest request_for(std::vector<std::string> failed) {
  RemedyRequest request;
  request.rounds = 3;
  request.order = {"more_training", "lift_layers", "group_size"};
  request.failed = std::move(failed);
  request.obstacle = [](const std::string&) { return ""; };
  return request;
}

TEST(ChooseRemedy, TakesThemInTheirOrderAndThenAgain) {
  RemedyRequest request = request_for({"perplexity"});
  request.rounds = 5;
  std::vector<std::string> chosen;
  for (int round = 0; round < 5; ++round) {
    chosen.push_back(choose_remedy(request).remedy);
    request.tried.push_back(chosen.back());
    request.at_this.push_back(chosen.back());
  }
  EXPECT_EQ(chosen,
            (std::vector<std::string>{"more_training", "lift_layers", "group_size", "more_training", "lift_layers"}));
  EXPECT_EQ(choose_remedy(request).reason, "the budget of 5 rounds is used");
}

TEST(ChooseRemedy, GoesByTheOrderThatWasAskedFor) {
  RemedyRequest request = request_for({"accuracy"});
  request.order = {"group_size", "more_training"};
  EXPECT_EQ(choose_remedy(request).remedy, "group_size");
}

TEST(ChooseRemedy, TriesNothingWhereNothingHelps) {
  for (const char* gate : {"compression", "sparsity", "agreement", "gradient_flow", "handoff"}) {
    const job::RemedyChoice choice = choose_remedy(request_for({"perplexity", gate}));
    EXPECT_EQ(choice.remedy, "") << gate;
    EXPECT_EQ(choice.reason, std::string("no remedy helps the gate ") + gate);
  }
}

TEST(ChooseRemedy, PassesOverWhatHasAnObstacleAndSaysWhich) {
  RemedyRequest request = request_for({"perplexity"});
  request.obstacle = [](const std::string& remedy) { return remedy == "more_training" ? "it is off" : ""; };
  job::RemedyChoice choice = choose_remedy(request);
  EXPECT_EQ(choice.remedy, "lift_layers");
  EXPECT_EQ(choice.reason, "lift_layers is tried; not more_training: it is off");
  request.obstacle = [](const std::string&) { return "no"; };
  choice = choose_remedy(request);
  EXPECT_EQ(choice.remedy, "");
  EXPECT_EQ(choice.reason, "no remedy is left: more_training: no; lift_layers: no; group_size: no");
}

TEST(ChooseRemedy, BeginsAnewForEachStageWithinOneBudget) {
  RemedyRequest request = request_for({"perplexity"});
  request.tried = {"more_training", "lift_layers"};  // for an earlier stage
  EXPECT_EQ(choose_remedy(request).remedy, "more_training");
  request.tried.push_back("more_training");
  request.at_this = {"more_training"};
  EXPECT_EQ(choose_remedy(request).remedy, "");  // three rounds are used
}

TEST(ChooseRemedy, IsOffWithoutABudget) {
  RemedyRequest request = request_for({"perplexity"});
  request.rounds = 0;
  EXPECT_EQ(choose_remedy(request).remedy, "");
  EXPECT_EQ(choose_remedy(request).reason, "");
}

class Formats : public testing::Test {
 protected:
  Formats() : model_(tiny()) {
    settings_.group_size = 16;
    storage_ = job::plan_storage(settings_, model_.parameters());
    double error = 0;
    for (const Parameter& parameter : model_.parameters()) {
      LayerRecord layer;
      layer.name = parameter.name;
      layer.weighted_relative_error = is_block_linear(parameter.role) ? error += 0.01 : 9;  // tables are not lifted
      layers_.push_back(layer);
    }
  }
  static Decoder tiny() {
    ModelConfig config = test::tiny_config();
    config.json = llama_config_json(config);
    return Decoder::random(config, 1);
  }
  std::vector<std::string> changed(const std::vector<ParameterPlan>& after) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      if (job::storage_key({storage_[i]}) != job::storage_key({after[i]})) names.push_back(model_.parameters()[i].name);
    }
    return names;
  }
  std::vector<std::string> matrices() const {
    std::vector<std::string> names;
    for (const Parameter& parameter : model_.parameters())
      if (is_block_linear(parameter.role)) names.push_back(parameter.name);
    return names;
  }

  Decoder model_;
  QuantizationSection settings_;
  std::vector<ParameterPlan> storage_;
  std::vector<LayerRecord> layers_;
};

TEST_F(Formats, OfTheWorstLayersAreLiftedByAStep) {
  const auto names = matrices();
  const job::FormatChange change = job::lift_layers(settings_, model_.parameters(), storage_, layers_, 0.25);
  const std::set<std::string> worst(names.end() - 3, names.end());  // a quarter of 14, rounded down
  const auto lifted = changed(change.storage);
  EXPECT_EQ(std::set<std::string>(lifted.begin(), lifted.end()), worst);
  for (std::size_t i = 0; i < storage_.size(); ++i) {
    if (worst.contains(model_.parameters()[i].name)) {
      EXPECT_EQ(change.storage[i].spec->format->name(), "int3");
    }
  }
  EXPECT_NE(change.did.find("3 matrices lifted: " + names.back() + " to int3"), std::string::npos) << change.did;
}

TEST_F(Formats, AreLiftedUpToFp16AndNoFurther) {
  std::vector<std::string> seen;
  for (int round = 0; round < 5; ++round) {
    const job::FormatChange change = job::lift_layers(settings_, model_.parameters(), storage_, layers_, 1);
    ASSERT_FALSE(change.storage.empty());
    storage_ = change.storage;
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      if (model_.parameters()[i].name == matrices().front()) seen.push_back(storage_[i].spec->format->name());
    }
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"int3", "int4", "int6", "int8", "float16"}));
  EXPECT_TRUE(job::lift_layers(settings_, model_.parameters(), storage_, layers_, 1).storage.empty());
}

// A trit's last group may be short, an integer's may not.
TEST_F(Formats, OfIntegersGetAGroupThatDividesTheWidth) {
  settings_.group_size = 20;
  storage_ = job::plan_storage(settings_, model_.parameters());
  const job::FormatChange change = job::lift_layers(settings_, model_.parameters(), storage_, layers_, 1);
  for (std::size_t i = 0; i < storage_.size(); ++i) {
    const Parameter& parameter = model_.parameters()[i];
    if (!is_block_linear(parameter.role)) continue;
    const FormatSpec& spec = *change.storage[i].spec;
    const std::int64_t width = job::output_first_shape(parameter)[1];
    EXPECT_TRUE(spec.granularity == Granularity::kChannel || width % spec.group_size == 0) << parameter.name;
    check_storable(job::output_first_shape(parameter), spec);
  }
}

TEST_F(Formats, HaveTheirGroupsHalvedDownToEight) {
  job::FormatChange change = job::halve_groups(model_.parameters(), storage_);
  EXPECT_EQ(changed(change.storage).size(), matrices().size());
  EXPECT_EQ(change.did, "groups halved: 16 to 8");
  EXPECT_TRUE(job::halve_groups(model_.parameters(), change.storage).storage.empty());
  settings_.granularity = "channel";
  EXPECT_TRUE(
      job::halve_groups(model_.parameters(), job::plan_storage(settings_, model_.parameters())).storage.empty());
}

}  // namespace
}  // namespace tercet
