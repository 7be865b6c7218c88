// Files of every task: the first part is the name, the second the file, the third the labels beside it.
#include "target.hpp"
#include "tercet/eval/task.hpp"

namespace tercet::fuzz {
namespace {

std::vector<std::string> seeds() {
  const std::string arc =
      R"({"question": {"stem": "a", "choices": [{"text": "b", "label": "A"}, {"text": "c", "label": "B"}]}, "answerKey": "B"})";
  return {
      join_parts({"lambada", R"({"text": "one two"})", ""}),
      join_parts(
          {"hellaswag",
           R"({"activity_label": "A", "ctx_a": "b [title] c", "ctx_b": "é [x] d", "endings": ["e", "f"], "label": 1})",
           ""}),
      join_parts({"piqa", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n", "1\n"}),
      join_parts({"winogrande", R"({"sentence": "a _ b", "option1": "c", "option2": "d", "answer": "2"})", ""}),
      join_parts({"arc_easy", arc, ""}),
      join_parts({"mmlu", "\"a, \"\"b\"\"\nc\",d,e,f,g,A\r\nh,i,j,k,l,D\r\n", ""}),
      join_parts({"blimp", R"({"sentence_good": "a", "sentence_bad": "b"})", ""})};
}

void read(std::string_view input) {
  const auto parts = parts_of(input, 3);
  const std::filesystem::path file = scratch_file("task/valid.jsonl", parts[1]);
  scratch_file("task/valid-labels.lst", parts[2]);
  if (parts[2].empty()) std::filesystem::remove(scratch() / "task/valid-labels.lst");
  (void)read_task(std::string(parts[0]), file, 0);
}

const Registration kTarget({"task_files", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
