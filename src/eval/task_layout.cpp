#include "eval/task_layout.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "eval/task_text.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"

namespace tercet::eval {
namespace {

// Answers that follow one prompt, each after a space.
TaskDocument multiple_choice(const std::string& context, const std::vector<std::string>& answers, std::size_t gold) {
  TaskDocument document;
  document.gold = gold;
  for (const std::string& answer : answers) document.choices.push_back({context, " " + answer, characters(answer)});
  return document;
}

TaskDocument lambada(const TaskRecord& record) {
  const std::string& text = record.text("text");
  const std::size_t space = text.rfind(' ');
  const std::string word = space == std::string::npos ? text : text.substr(space + 1);
  if (word.empty()) record.fail("'text' does not end in a word");
  return multiple_choice(space == std::string::npos ? "" : text.substr(0, space), {word}, 0);
}

// Brackets are left over from the pages that a part of the task was made from.
std::string hellaswag_text(std::string_view text) {
  return replace_all(without_brackets(replace_all(strip(text), " [title]", ". ")), "  ", " ");
}

TaskDocument hellaswag(const TaskRecord& record) {
  const std::string context = record.text("ctx_a") + " " + capitalize(record.text("ctx_b"));
  std::vector<std::string> endings;
  for (const std::string& ending : record.texts("endings")) endings.push_back(hellaswag_text(ending));
  if (endings.size() < 2) record.fail("'endings' has fewer than two choices");
  return multiple_choice(hellaswag_text(record.text("activity_label") + ": " + context), endings,
                         record.index("label", endings.size()));
}

TaskDocument piqa(const TaskRecord& record) {
  return multiple_choice("Question: " + record.text("goal") + "\nAnswer:", {record.text("sol1"), record.text("sol2")},
                         record.index("label", 2));
}

// Here the choices are contexts: the sentence up to the gap with either option, followed by the same rest.
TaskDocument winogrande(const TaskRecord& record) {
  const std::string& sentence = record.text("sentence");
  const std::size_t gap = sentence.find('_');
  if (gap == std::string::npos) record.fail("'sentence' has no gap ('_')");
  const std::string rest = " " + std::string(strip(sentence.substr(gap + 1)));
  const std::size_t answer = record.index("answer", 3);
  if (answer == 0) record.fail("'answer' is '0', not 1 or 2");
  TaskDocument document;
  document.gold = answer - 1;
  for (const char* option : {"option1", "option2"}) {
    document.choices.push_back({sentence.substr(0, gap) + record.text(option), rest, characters(rest) - 1});
  }
  return document;
}

TaskDocument arc(const TaskRecord& record) {
  const TaskRecord question = record.object("question");
  const std::string& key = record.text("answerKey");
  std::vector<std::string> answers, labels;
  for (const TaskRecord& choice : question.objects("choices")) {
    answers.push_back(choice.text("text"));
    labels.push_back(choice.text("label"));
  }
  if (answers.size() < 2) record.fail("'choices' has fewer than two of them");
  const auto gold = std::find(labels.begin(), labels.end(), key);
  if (gold == labels.end()) record.fail("no choice has the label '" + key + "' that 'answerKey' names");
  return multiple_choice("Question: " + question.text("stem") + "\nAnswer:", answers,
                         static_cast<std::size_t>(gold - labels.begin()));
}

// "high_school_physics_test.csv" is about "high school physics".
std::string mmlu_subject(const std::string& file) {
  std::string subject = std::filesystem::path(file).stem().string();
  for (const std::string part : {"_test", "_val", "_dev"}) {
    if (subject.ends_with(part)) subject.resize(subject.size() - part.size());
  }
  return replace_all(subject, "_", " ");
}

TaskDocument mmlu(const TaskRecord& record) {
  const std::vector<std::string> cells = record.texts("cells");
  if (cells.size() != 6) record.fail("it has " + std::to_string(cells.size()) + " cells, not 6");
  static const std::vector<std::string> kLetters = {"A", "B", "C", "D"};
  const auto gold = std::find(kLetters.begin(), kLetters.end(), strip(cells[5]));
  if (gold == kLetters.end()) record.fail("the answer is '" + cells[5] + "', not A, B, C or D");
  std::string prompt = "The following are multiple choice questions (with answers) about " +
                       mmlu_subject(record.file()) + ".\n\n" + std::string(strip(cells[0]));
  for (std::size_t i = 0; i < kLetters.size(); ++i) prompt += "\n" + kLetters[i] + ". " + cells[i + 1];
  return multiple_choice(prompt + "\nAnswer:", kLetters, static_cast<std::size_t>(gold - kLetters.begin()));
}

// Two sentences without a context: the grammatical one should be the likelier.
TaskDocument blimp(const TaskRecord& record) {
  return multiple_choice("", {record.text("sentence_good"), record.text("sentence_bad")}, 0);
}

constexpr const char* kArcRecord =
    R"({"question": {"stem": "...", "choices": [{"text": "...", "label": "A"}, ...]}, "answerKey": "A"})";

// clang-format off
constexpr TaskLayout kLayouts[] = {
  {"lambada", ".jsonl", "", R"({"text": "..."})", false, &json_records, &lambada},
  {"hellaswag", ".jsonl", "", R"({"activity_label": "...", "ctx_a": "...", "ctx_b": "...", "endings": ["...", ...], "label": 0})",
   true, &json_records, &hellaswag},
  {"piqa", ".jsonl", "-labels.lst", R"({"goal": "...", "sol1": "...", "sol2": "..."}, its label, 0 or 1, in NAME-labels.lst or as "label")",
   true, &json_records_with_labels, &piqa},
  {"winogrande", ".jsonl", "", R"({"sentence": "... _ ...", "option1": "...", "option2": "...", "answer": "1"})",
   false, &json_records, &winogrande},
  {"arc_easy", ".jsonl", "", kArcRecord, true, &json_records, &arc},
  {"arc_challenge", ".jsonl", "", kArcRecord, true, &json_records, &arc},
  {"mmlu", ".csv", "", "question,first,second,third,fourth,A without a heading", false, &csv_records, &mmlu},
  {"blimp", ".jsonl", "", R"({"sentence_good": "...", "sentence_bad": "..."})", false, &json_records, &blimp},
};
// clang-format on

}  // namespace

std::span<const TaskLayout> task_layouts() {
  return kLayouts;
}

const TaskLayout& task_layout(const std::string& name) {
  for (const TaskLayout& layout : kLayouts) {
    if (layout.name == name) return layout;
  }
  const std::string near = nearest_word(name, task_names());
  std::string all;
  for (const TaskLayout& layout : kLayouts) all += (all.empty() ? "" : ", ") + std::string(layout.name);
  throw ConfigError("there is no task '" + name + "'", near.empty() ? "" : "did you mean '" + near + "'?",
                    "the tasks are " + all);
}

}  // namespace tercet::eval
