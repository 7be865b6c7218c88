#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "eval/tiny_tasks.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "support/shared_scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/eval/task_score.hpp"

namespace tercet {
namespace {

void expect_same_bits(const TaskScore& a, const TaskScore& b) {
  EXPECT_EQ(a.documents, b.documents);
  EXPECT_EQ(a.accuracy, b.accuracy);
  EXPECT_EQ(a.accuracy_stderr, b.accuracy_stderr);
  EXPECT_EQ(a.normalized_accuracy, b.normalized_accuracy);
  EXPECT_EQ(a.perplexity, b.perplexity);
  ASSERT_EQ(a.choices.size(), b.choices.size());
  for (std::size_t i = 0; i < a.choices.size(); ++i) {
    EXPECT_EQ(a.choices[i].log_likelihood, b.choices[i].log_likelihood);
    EXPECT_EQ(a.choices[i].greedy, b.choices[i].greedy);
  }
}

TEST(TasksOnRanks, GiveTheBitsOfOneRank) {
  const test::ByteTask tools;
  const Decoder model = Decoder::random(test::byte_config(), 1);
  const auto self = make_self_communicator();
  for (const Task& task : {tools.choices(), tools.words()}) {
    for (const std::int64_t batch : {3, 50}) {  // uneven batches; one batch, so that most ranks have none
      expect_same_bits(evaluate_task(test::world(), model, tools.tokens(), task, {batch, false}),
                       evaluate_task(*self, model, tools.tokens(), task, {batch, false}));
    }
  }
}

TEST(TasksOnRanks, AreReadByRankZeroForAll) {
  test::SharedScratchFolder folder;
  folder.write("b.jsonl", R"({"sentence_good": "Boats float.", "sentence_bad": "Boats floats."})");
  const Task task = read_task(test::world(), "blimp", folder.path() / "b.jsonl", 0);
  ASSERT_EQ(task.documents.size(), 1u);
  EXPECT_EQ(task.documents[0].choices[1].continuation, " Boats floats.");
  EXPECT_EQ(task.sha256, read_task("blimp", folder.path() / "b.jsonl", 0).sha256);
}

TEST(TasksOnRanks, AreRefusedOnAllForTheSameReason) {
  test::SharedScratchFolder folder;
  folder.write("b.jsonl", R"({"sentence_good": "Boats float."})");
  for (const std::string file : {"b.jsonl", "none.jsonl"}) {
    const std::string said =
        test::message_of<DataError>([&] { read_task(test::world(), "blimp", folder.path() / file, 0); });
    EXPECT_MENTIONS(said, file);
  }
}

}  // namespace
}  // namespace tercet
