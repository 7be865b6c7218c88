#include "job/model_fit.hpp"

#include <gtest/gtest.h>

#include "support/errors.hpp"
#include "tercet/base/error.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

std::string notes_of(const JobConfig& config) {
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  std::string text;
  for (const std::string& note :
       job::fit_notes(config, model, job::plan_storage(config.quantization, model.parameters())))
    text += note + "\n";
  return text;
}

TEST(ModelFit, RefusesABlockThatIsNotThere) {
  const ModelConfig model = test::tiny_config();
  JobConfig config;
  config.training.relation_loss = 0.1;
  config.training.relation_block = model.layers;
  EXPECT_NO_THROW(job::check_fit(config, model));
  config.training.relation_block = model.layers + 1;
  EXPECT_MENTIONS(test::message_of<ConfigError>([&] { job::check_fit(config, model); }),
                  "training.relation_block: " + std::to_string(model.layers + 1) + " names no block");
  config.training.enabled = false;
  EXPECT_NO_THROW(job::check_fit(config, model));
}

TEST(ModelFit, NotesShortGroupsWithOneThatDivides) {
  JobConfig config;
  config.quantization.group_size = 16;
  EXPECT_EQ(notes_of(config), "");
  config.quantization.granularity = "channel";
  EXPECT_EQ(notes_of(config), "");
  config.quantization.granularity = "group";
  config.quantization.group_size = 20;
  const std::string note = notes_of(config);
  EXPECT_MENTIONS(note, "groups of 20 do not divide the rows of ");
  EXPECT_MENTIONS(note, "; 16 divides all of them");
}

TEST(ModelFit, NotesAWindowOfMoreBlocksThanThereAre) {
  JobConfig config;
  config.quantization.group_size = 16;
  config.blockwise.enabled = true;
  config.blockwise.window = 9;
  EXPECT_MENTIONS(notes_of(config), "blockwise.window: 9 is more than the model's");
  config.blockwise.window = test::tiny_config().layers;
  EXPECT_EQ(notes_of(config), "");
}

}  // namespace
}  // namespace tercet
