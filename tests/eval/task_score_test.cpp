#include "tercet/eval/task_score.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "eval/task_requests.hpp"
#include "eval/tiny_tasks.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using test::message_of;

constexpr std::int64_t kEnd = 256;  // of the byte tokenizer: its only special token

std::vector<std::int32_t> bytes(const std::string& text) {
  std::vector<std::int32_t> ids;
  for (char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

Task task_of(const std::string& name, std::vector<TaskDocument> documents) {
  return {name, "", "", std::move(documents)};
}

TaskDocument question(std::vector<std::int64_t> characters, std::size_t gold) {
  TaskDocument document;
  for (const std::int64_t count : characters) document.choices.push_back({"", "", count});
  document.gold = gold;
  return document;
}

TEST(ScoreTask, CountsTheLikeliestAndTheLikeliestForItsLength) {
  // Document 0: -4 beats -6; -6 / 3 beats -4 / 1. Document 1: both name the gold. Document 2: a tie goes to the first.
  const Task task = task_of("piqa", {question({1, 3}, 0), question({2, 2}, 1), question({1, 1}, 1)});
  const TaskScore score = score_task(task, {{-4, false}, {-6, false}, {-9, false}, {-3, true}, {-5, true}, {-5, true}});
  EXPECT_EQ(score.documents, 3);
  EXPECT_DOUBLE_EQ(score.accuracy, 2.0 / 3);
  EXPECT_DOUBLE_EQ(score.normalized_accuracy.value(), 1.0 / 3);
  // The sample variance of (1, 1, 0) is 1/3; the mean's standard error is sqrt(1/3 / 3).
  EXPECT_DOUBLE_EQ(score.accuracy_stderr.value(), 1.0 / 3);
  EXPECT_FALSE(score.perplexity);
}

TEST(ScoreTask, OfOneChoiceIsGreedyAccuracyAndPerplexity) {
  const Task task = task_of("lambada", {question({4}, 0), question({4}, 0)});
  const TaskScore score = score_task(task, {{-1, true}, {-3, false}});
  EXPECT_DOUBLE_EQ(score.accuracy, 0.5);
  EXPECT_DOUBLE_EQ(score.perplexity.value(), std::exp(2.0));
  EXPECT_FALSE(score.normalized_accuracy);
  EXPECT_FALSE(score_task(task_of("lambada", {question({4}, 0)}), {{-1, true}}).accuracy_stderr) << "of one document";
}

TEST(RequestEncoder, SplitsWhereTheContextAloneEnds) {
  const test::ByteTask tools;
  eval::RequestEncoder encoder(tools.tokens(), 100);
  const eval::Request request = encoder.encode("ab", " cd");
  EXPECT_EQ(request.ids, bytes("ab cd"));
  EXPECT_EQ(request.continuation, 3u);
  const eval::Request moved = encoder.encode("ab \n", "cd");
  EXPECT_EQ(moved.ids, bytes("ab \ncd"));
  EXPECT_EQ(moved.continuation, 4u) << "the white space belongs to the continuation";
}

TEST(RequestEncoder, PutsTheEndOfTextBeforeWhatHasNoContext) {
  const test::ByteTask tools;
  eval::RequestEncoder encoder(tools.tokens(), 100);
  std::vector<std::int32_t> expected = bytes(" a");
  expected.insert(expected.begin(), kEnd);
  for (const std::string context : {"", " "}) {
    const eval::Request request = encoder.encode(context, context.empty() ? " a" : "a");
    EXPECT_EQ(request.ids, expected);
    EXPECT_EQ(request.continuation, 2u);
  }
  EXPECT_EQ(encoder.encode("", "<|endoftext|>a").ids.size(), 2u) << "it is there already";
}

TEST(RequestEncoder, AddsWhatTheTokenizerPutsAroundAText) {
  const test::ByteTask tools;
  TaskTokens tokens = tools.tokens();
  tokens.special = {kEnd, {kEnd}, {}};
  eval::RequestEncoder encoder(tokens, 100);
  std::vector<std::int32_t> expected = bytes("a b");
  expected.insert(expected.begin(), kEnd);
  EXPECT_EQ(encoder.encode("a", " b").ids, expected);
  EXPECT_EQ(encoder.encode("<|endoftext|>a", " b").ids, expected) << "not twice";
  EXPECT_EQ(encoder.encode("", "b").continuation, 1u);
}

TEST(RequestEncoder, CutsOffTheLeftAndRefusesWhatCannotBeScored) {
  const test::ByteTask tools;
  eval::RequestEncoder encoder(tools.tokens(), 4);
  const eval::Request request = encoder.encode("abcdefgh", "ij");
  EXPECT_EQ(request.ids, bytes("fghij")) << "four ids go in, the fifth is only predicted";
  EXPECT_EQ(request.continuation, 2u);
  EXPECT_MENTIONS(message_of<DataError>([&] { encoder.encode("a", "bcdef"); }), "5 tokens are more than");
  EXPECT_MENTIONS(message_of<DataError>([&] { encoder.encode("a", ""); }), "no token of its own");
}

TEST(Rows, ShareTheInputOfChoicesThatDifferInTheirLastTokenAlone) {
  const std::vector<eval::Request> requests = {
      {bytes("abc A"), 2}, {bytes("xy"), 1}, {bytes("abc B"), 2}, {bytes("abc C"), 1}, {bytes("abcdefgh"), 3}};
  const std::vector<eval::Row> rows = eval::rows_of(requests);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].requests, (std::vector<std::size_t>{4}));
  EXPECT_EQ(rows[1].requests, (std::vector<std::size_t>{0, 2, 3}));
  EXPECT_EQ(rows[1].length, 4u);
  EXPECT_EQ(rows[1].scored, 2u);
  EXPECT_EQ(rows[2].requests, (std::vector<std::size_t>{1}));
}

// One sequence at a time, without padding or sharing, in doubles.
ChoiceScore direct_score(const Decoder& model, const eval::Request& request) {
  const at::NoGradGuard no_grad;
  const auto length = static_cast<std::int64_t>(request.ids.size());
  at::Tensor ids = test::row_of(request.ids);
  const at::Tensor logits = model.forward(ids.slice(1, 0, length - 1))[0].to(at::kDouble).contiguous();
  ChoiceScore score{0, true};
  for (std::int64_t i = length - static_cast<std::int64_t>(request.continuation); i < length; ++i) {
    const double* row = logits.const_data_ptr<double>() + (i - 1) * logits.size(1);
    const double* end = row + logits.size(1);
    double sum = 0;
    for (const double* value = row; value != end; ++value) sum += std::exp(*value);
    const std::int32_t id = request.ids[static_cast<std::size_t>(i)];
    score.log_likelihood += row[id] - std::log(sum);
    score.greedy = score.greedy && std::max_element(row, end) - row == id;
  }
  return score;
}

TEST(EvaluateTask, EqualsAComputationChoiceByChoice) {
  const test::ByteTask tools;
  const Decoder model = Decoder::random(test::byte_config(), 3);
  const auto comm = make_self_communicator();
  for (const std::int64_t batch : {1, 3, 64}) {
    for (const Task& task : {tools.choices(), tools.words()}) {
      const TaskScore got = evaluate_task(*comm, model, tools.tokens(), task, {batch, false});
      eval::RequestEncoder encoder(tools.tokens(), model.config().max_positions);
      std::size_t next = 0;
      for (const TaskDocument& document : task.documents) {
        for (const TaskChoice& choice : document.choices) {
          const ChoiceScore expected = direct_score(model, encoder.encode(choice.context, choice.continuation));
          EXPECT_NEAR(got.choices.at(next).log_likelihood, expected.log_likelihood, 1e-4);
          EXPECT_EQ(got.choices.at(next).greedy, expected.greedy);
          ++next;
        }
      }
      EXPECT_EQ(next, got.choices.size());
    }
  }
}

TEST(EvaluateTask, FindsTheWordsThatAModelAlwaysSays) {
  const test::ByteTask tools;
  Decoder model = Decoder::random(test::byte_config(), 3);
  // With all embeddings alike the last hidden state is nearly one direction, in which this row of the head is longest.
  for (Parameter& parameter : model.parameters()) {
    if (parameter.role != Role::kEmbedding && parameter.role != Role::kHead) continue;
    parameter.value.fill_(1);
    parameter.value['s'].fill_(2);
  }
  const auto comm = make_self_communicator();
  const Task task = task_of("lambada", {{{{"a", "sss", 3}}, 0}, {{{"a", "sst", 3}}, 0}, {{{"a", "s", 1}}, 0}});
  EXPECT_DOUBLE_EQ(evaluate_task(*comm, model, tools.tokens(), task, {4, false}).accuracy, 2.0 / 3);
}

TEST(EvaluateTask, NamesTheDocumentThatCannotBeScored) {
  const test::ByteTask tools;
  const Decoder model = Decoder::random(test::byte_config(), 3);
  const auto comm = make_self_communicator();
  const Task task = task_of("piqa", {{{{"a", " b", 1}, {"a", " c", 1}}, 0}, {{{"a", " b", 1}, {"a", "", 0}}, 0}});
  EXPECT_MENTIONS(message_of<DataError>([&] {
                    evaluate_task(*comm, model, tools.tokens(), task, {4, false});
                  }),
                  "document 2 of the task piqa");
}

TEST(EvaluateTask, RefusesLogLikelihoodsThatAreNotFinite) {
  const test::ByteTask tools;
  Decoder model = Decoder::random(test::byte_config(), 3);
  model.parameters()[0].value.fill_(std::numeric_limits<float>::quiet_NaN());
  const auto comm = make_self_communicator();
  EXPECT_MENTIONS(message_of<NumericError>([&] {
                    evaluate_task(*comm, model, tools.tokens(), tools.words(), {4, false});
                  }),
                  "lambada");
}

}  // namespace
}  // namespace tercet
