#include "tercet/eval/task.hpp"

#include <gtest/gtest.h>

#include <string>

#include "eval/task_layout.hpp"
#include "eval/task_text.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using test::message_of;
using test::ScratchFolder;

Task read(const ScratchFolder& folder, const std::string& task, const std::string& file, const std::string& content,
          std::int64_t limit = 0) {
  return read_task(task, folder.write(file, content), limit);
}

void expect_choice(const TaskChoice& choice, const std::string& context, const std::string& continuation,
                   std::int64_t characters) {
  EXPECT_EQ(choice.context, context);
  EXPECT_EQ(choice.continuation, continuation);
  EXPECT_EQ(choice.characters, characters);
}

TEST(TaskText, GoesThroughPythonsStringFunctions) {
  EXPECT_EQ(eval::strip("\u00a0 a b\u3000\n"), "a b");
  EXPECT_EQ(eval::strip(" \t"), "");
  EXPECT_EQ(eval::end_without_space("kettle  "), 6u);
  EXPECT_EQ(eval::capitalize("ÉLAN Of A Boat"), "Élan of a boat");
  EXPECT_EQ(eval::capitalize("élan"), "Élan");
  EXPECT_EQ(eval::capitalize(""), "");
  EXPECT_EQ(eval::characters("naïve"), 5);
  EXPECT_EQ(eval::replace_all("a   b", "  ", " "), "a  b") << "what was replaced is not looked at again";
  EXPECT_EQ(eval::without_brackets("a [b [c] d] [e"), "a  d] [e");
  EXPECT_EQ(eval::without_brackets("[a\nb] [c]"), "[a\nb] ") << "the dot of the pattern ends at a line";
}

TEST(Lambada, AsksForTheLastWord) {
  const ScratchFolder folder;
  const Task task = read(folder, "lambada", "l.jsonl",
                         R"({"text": "The kettle on the stove began to sing"})"
                         "\n\n"
                         R"({"text": "alone"})");
  ASSERT_EQ(task.documents.size(), 2u);
  ASSERT_EQ(task.documents[0].choices.size(), 1u);
  expect_choice(task.documents[0].choices[0], "The kettle on the stove began to", " sing", 4);
  expect_choice(task.documents[1].choices[0], "", " alone", 5);
}

TEST(HellaSwag, CleansTextsAsItsAuthorsDo) {
  const ScratchFolder folder;
  const Task task =
      read(folder, "hellaswag", "h.jsonl",
           R"({"ind": 4, "activity_label": "Boat repair", "ctx_a": "A man [header] kneels [title] by the boat.",)"
           R"( "ctx_b": "he Holds", "endings": [" a  brush. ", "a [step] sail.", "rain.", "[x]"], "label": "2"})");
  ASSERT_EQ(task.documents.size(), 1u);
  const TaskDocument& document = task.documents[0];
  EXPECT_EQ(document.gold, 2u);
  ASSERT_EQ(document.choices.size(), 4u);
  const std::string context = "Boat repair: A man kneels. by the boat. He holds";
  expect_choice(document.choices[0], context, " a brush.", 8);
  expect_choice(document.choices[1], context, " a sail.", 7);
  expect_choice(document.choices[2], context, " rain.", 5);
  expect_choice(document.choices[3], context, " ", 0);
}

TEST(Piqa, TakesItsLabelsFromTheFileBesideIt) {
  const ScratchFolder folder;
  folder.write("valid-labels.lst", "1\n0\n");
  const std::string rows = R"({"goal": "Dry a wet boot", "sol1": "Freeze it", "sol2": "Stuff it with paper"})"
                           "\n"
                           R"({"goal": "Open a jar", "sol1": "Turn the lid", "sol2": "Sing to it"})"
                           "\n";
  const Task task = read(folder, "piqa", "valid.jsonl", rows);
  ASSERT_EQ(task.documents.size(), 2u);
  EXPECT_EQ(task.documents[0].gold, 1u);
  EXPECT_EQ(task.documents[1].gold, 0u);
  expect_choice(task.documents[0].choices[1], "Question: Dry a wet boot\nAnswer:", " Stuff it with paper", 19);
  EXPECT_EQ(read_task("piqa", folder / "valid.jsonl", 1).documents.size(), 1u);
}

TEST(Piqa, TakesALabelInTheRecordToo) {
  const ScratchFolder folder;
  EXPECT_EQ(read(folder, "piqa", "p.jsonl", R"({"goal": "a", "sol1": "b", "sol2": "c", "label": 1})").documents[0].gold,
            1u);
}

TEST(WinoGrande, PutsTheOptionsIntoTheContext) {
  const ScratchFolder folder;
  const Task task =
      read(folder, "winogrande", "w.jsonl",
           R"({"sentence": "The ladder leaned on the wall because _ was tall .", "option1": "the ladder",)"
           R"( "option2": "the wall", "answer": "2"})");
  EXPECT_EQ(task.documents[0].gold, 1u);
  expect_choice(task.documents[0].choices[0], "The ladder leaned on the wall because the ladder", " was tall .", 10);
  expect_choice(task.documents[0].choices[1], "The ladder leaned on the wall because the wall", " was tall .", 10);
}

TEST(Arc, FindsTheAnswerByItsLabel) {
  const ScratchFolder folder;
  const Task task =
      read(folder, "arc_easy", "a.jsonl",
           R"({"id": "q", "question": {"stem": "What floats?", "choices": [{"text": "A stone", "label": "1"},)"
           R"( {"text": "A cork", "label": "2"}, {"text": "A nail", "label": "3"}]}, "answerKey": "2"})");
  EXPECT_EQ(task.documents[0].gold, 1u);
  ASSERT_EQ(task.documents[0].choices.size(), 3u);
  expect_choice(task.documents[0].choices[2], "Question: What floats?\nAnswer:", " A nail", 6);
}

TEST(Mmlu, ReadsAFolderOfTablesAndNamesTheSubject) {
  const ScratchFolder folder;
  folder.write("data/test/college_sailing_test.csv",
               "\" Which rope, of \"\"these\"\", holds\nthe anchor? \",cable,string,thread,yarn,A\r\n"
               "Plain?,1,2,3,4,D\r\n");
  folder.write("data/test/anatomy_test.csv", "Knee?,1,2,3,4,C");
  folder.write("data/dev/anatomy_dev.csv", "not read");
  const Task task = read_task("mmlu", folder / "data", 0);
  ASSERT_EQ(task.documents.size(), 3u);
  EXPECT_EQ(task.documents[0].gold, 2u) << "files in the order of their names";
  const TaskDocument& rope = task.documents[1];
  EXPECT_EQ(rope.gold, 0u);
  const std::string context =
      "The following are multiple choice questions (with answers) about college sailing.\n\n"
      "Which rope, of \"these\", holds\nthe anchor?\nA. cable\nB. string\nC. thread\nD. yarn\nAnswer:";
  expect_choice(rope.choices[0], context, " A", 1);
  expect_choice(rope.choices[3], context, " D", 1);
  EXPECT_EQ(task.documents[2].gold, 3u);
  EXPECT_EQ(read_task("mmlu", folder / "data", 1).documents.size(), 2u) << "the limit is of each file";
}

TEST(Blimp, HasNoContextAndTheGoodSentenceFirst) {
  const ScratchFolder folder;
  const Task task = read(folder, "blimp", "b.jsonl",
                         R"({"sentence_good": "The boats float.", "sentence_bad": "The boats floats.", "UID": "x"})");
  EXPECT_EQ(task.documents[0].gold, 0u);
  expect_choice(task.documents[0].choices[0], "", " The boats float.", 16);
  expect_choice(task.documents[0].choices[1], "", " The boats floats.", 17);
}

TEST(TaskFiles, ThatAreNotOfTheTaskSayFileLineAndLayout) {
  struct Wrong {
    const char *task, *file, *content;
    std::vector<std::string> said;
  };
  const std::vector<Wrong> all = {
      {"lambada", "a.jsonl", "{\"text\": \"a b\"}\n{\"body\": \"c\"}", {"a.jsonl:2", "'text'", "a record looks like"}},
      {"lambada", "b.jsonl", "{\"text\": 3}", {"b.jsonl:1", "'text' is a number"}},
      {"lambada", "c.jsonl", "{\"text\": \"ends in a space \"}", {"c.jsonl:1", "does not end in a word"}},
      {"lambada", "d.jsonl", "no json", {"d.jsonl:1"}},
      {"lambada", "e.jsonl", "\n \n", {"e.jsonl", "no record"}},
      {"lambada", "f.jsonl", "{\"text\": \"\xff\"}", {"f.jsonl", "not UTF-8", "offset 10"}},
      {"hellaswag",
       "g.jsonl",
       R"({"activity_label": "a", "ctx_a": "b", "ctx_b": "c", "endings": ["d", "e"], "label": ""})",
       {"g.jsonl:1", "'label' is ''", "from 0 to 1"}},
      {"hellaswag",
       "h.jsonl",
       R"({"activity_label": "a", "ctx_a": "b", "ctx_b": "c", "endings": ["d", "e"], "label": 4})",
       {"h.jsonl:1", "'label' is '4'"}},
      {"piqa", "i.jsonl", R"({"goal": "a", "sol1": "b", "sol2": "c"})", {"i.jsonl:1", "'label'", "labels.lst"}},
      {"winogrande",
       "j.jsonl",
       R"({"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"})",
       {"j.jsonl:1", "gap"}},
      {"winogrande",
       "k.jsonl",
       R"({"sentence": "a _ b", "option1": "a", "option2": "b", "answer": "3"})",
       {"k.jsonl:1", "'answer' is '3'"}},
      {"arc_challenge",
       "l.jsonl",
       R"({"question": {"stem": "a", "choices": [{"text": "b", "label": "A"}, {"text": "c", "label": "B"}]}, "answerKey": "E"})",
       {"l.jsonl:1", "label 'E'"}},
      {"mmlu", "m.csv", "q,1,2,3,4,A\nq,1,2,3,A\n", {"m.csv:2", "5 cells, not 6"}},
      {"mmlu", "n.csv", "q,1,2,3,4,E\n", {"n.csv:1", "the answer is 'E'"}},
      {"mmlu", "o.csv", "q,1,2,3,4,A\n\"open,1,2,3,4,A\n", {"o.csv:2", "quote is not closed"}},
      {"blimp", "p.jsonl", R"({"sentence_good": "a"})", {"p.jsonl:1", "'sentence_bad'"}}};
  const ScratchFolder folder;
  for (const Wrong& wrong : all) {
    const std::string said = message_of<DataError>([&] { read(folder, wrong.task, wrong.file, wrong.content); });
    for (const std::string& words : wrong.said) EXPECT_MENTIONS(said, words);
  }
}

TEST(TaskFiles, ThatAreNotThereOrOfNoTaskAreNamed) {
  const ScratchFolder folder;
  EXPECT_MENTIONS(message_of<DataError>([&] { read_task("piqa", folder / "none.jsonl", 0); }), "none.jsonl");
  EXPECT_MENTIONS(message_of<DataError>([&] { read_task("blimp", folder.path(), 0); }), ".jsonl");
  const std::string said = message_of<ConfigError>([&] { read_task("helaswag", folder.path(), 0); });
  EXPECT_MENTIONS(said, "did you mean 'hellaswag'");
  EXPECT_MENTIONS(said, "lambada, hellaswag, piqa");
}

TEST(PiqaLabels, ThatDoNotFitTheRecordsAreRefused) {
  const ScratchFolder folder;
  folder.write("valid-labels.lst", "1\n");
  const std::string rows = "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n{\"goal\": \"a\", \"sol1\": \"b\"}\n";
  EXPECT_MENTIONS(message_of<DataError>([&] { read(folder, "piqa", "valid.jsonl", rows); }), "1 labels for 2 records");
}

TEST(TaskHash, ChangesWithFilesAndLabels) {
  const ScratchFolder folder;
  const std::string row = R"({"goal": "a", "sol1": "b", "sol2": "c", "label": 0})";
  const std::string before = read(folder, "piqa", "valid.jsonl", row).sha256;
  EXPECT_EQ(read(folder, "piqa", "valid.jsonl", row).sha256, before);
  EXPECT_NE(read(folder, "piqa", "valid.jsonl", row + "\n").sha256, before);
  folder.write("valid-labels.lst", "1\n");
  EXPECT_NE(read(folder, "piqa", "valid.jsonl", row).sha256, before);
}

}  // namespace
}  // namespace tercet
