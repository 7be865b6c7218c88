// From prompts to the sequences of ids that go through the model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tercet/eval/task_score.hpp"

namespace tercet::eval {

struct Request {
  std::vector<std::int32_t> ids;  // context and continuation, what does not fit cut off on the left
  std::size_t continuation = 0;   // how many of them, at the end, are scored
};

// As TemplateLM.loglikelihood and _encode_pair of the harness do it: white space at the end of the context goes to the
// continuation; both together are encoded, and what is beyond the ids of the context alone is the continuation. Without
// a context, BOS (else EOS) stands for it. At most `positions` ids go into the model, and the last id does not.
class RequestEncoder {
 public:
  RequestEncoder(TaskTokens tokens, std::int64_t positions);
  Request encode(const std::string& context, const std::string& continuation);  // throws DataError

 private:
  std::vector<std::int32_t> with_special_tokens(const std::string& text) const;
  Request after_prefix(const std::string& continuation) const;
  Request cut(Request request) const;

  TaskTokens tokens_;
  std::size_t positions_;
  std::int64_t prefix_;       // what stands for an empty context; -1: there is nothing
  std::string prefix_text_;   // a text that begins with it gets no special tokens
  std::string last_context_;  // the choices of a document often share it
  std::vector<std::int32_t> last_ids_;
};

// One sequence of the model's input with all requests that differ from it in the last id alone.
struct Row {
  std::vector<std::size_t> requests;
  std::size_t length = 0;  // ids of input
  std::size_t scored = 0;  // positions at the end from which something is predicted
};

// Longest first, so that a batch holds sequences of like length.
std::vector<Row> rows_of(const std::vector<Request>& requests);

}  // namespace tercet::eval
