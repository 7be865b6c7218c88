#include "eval/task_requests.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "eval/task_text.hpp"
#include "tercet/base/error.hpp"

namespace tercet::eval {
namespace {

using Ids = std::vector<std::int32_t>;

bool same_input(const Ids& a, const Ids& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end() - 1, b.begin());
}

}  // namespace

RequestEncoder::RequestEncoder(TaskTokens tokens, std::int64_t positions)
    : tokens_(std::move(tokens)), positions_(static_cast<std::size_t>(positions)) {
  prefix_ = tokens_.special.bos >= 0 ? tokens_.special.bos : tokens_.tokenizer.eos_token();
  if (prefix_ >= 0) prefix_text_ = tokens_.tokenizer.decode({static_cast<std::int32_t>(prefix_)});
}

Ids RequestEncoder::with_special_tokens(const std::string& text) const {
  const bool has_prefix = !prefix_text_.empty() && text.starts_with(prefix_text_);
  Ids ids;
  if (!has_prefix) ids = tokens_.special.before;
  tokens_.tokenizer.encode(text, ids);
  if (!has_prefix) ids.insert(ids.end(), tokens_.special.after.begin(), tokens_.special.after.end());
  return ids;
}

Request RequestEncoder::after_prefix(const std::string& continuation) const {
  if (prefix_ < 0) {
    throw DataError("a text without a context cannot be scored", "the tokenizer names neither BOS nor EOS",
                    "name one in tokenizer_config.json");
  }
  Ids ids;
  tokens_.tokenizer.encode(continuation, ids);
  if (ids.empty() || ids.front() != prefix_) ids.insert(ids.begin(), static_cast<std::int32_t>(prefix_));
  const std::size_t scored = ids.size() - 1;
  return {std::move(ids), scored};
}

Request RequestEncoder::cut(Request request) const {
  if (request.continuation == 0) throw DataError("it has no token of its own beside its context");
  if (request.continuation > positions_) {
    throw DataError("its " + std::to_string(request.continuation) + " tokens are more than the model's positions",
                    "there are " + std::to_string(positions_));
  }
  if (request.ids.size() > positions_ + 1) {
    request.ids.erase(request.ids.begin(), request.ids.end() - static_cast<std::ptrdiff_t>(positions_ + 1));
  }
  return request;
}

Request RequestEncoder::encode(const std::string& context, const std::string& continuation) {
  if (context.empty()) return cut(after_prefix(continuation));
  const std::string head = context.substr(0, end_without_space(context));
  if (last_ids_.empty() || head != last_context_) {
    last_context_ = head;
    last_ids_ = with_special_tokens(head);
  }
  if (last_ids_.empty()) return cut(after_prefix(context + continuation));
  Request request{with_special_tokens(context + continuation), 0};
  if (request.ids.size() > last_ids_.size()) request.continuation = request.ids.size() - last_ids_.size();
  // The harness gives the model the context's own ids, which may differ from the beginning of both together.
  std::copy_n(last_ids_.begin(), std::min(last_ids_.size(), request.ids.size()), request.ids.begin());
  return cut(std::move(request));
}

std::vector<Row> rows_of(const std::vector<Request>& requests) {
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const Ids &left = requests[a].ids, &right = requests[b].ids;
    if (left.size() != right.size()) return left.size() > right.size();
    return std::lexicographical_compare(left.begin(), left.end() - 1, right.begin(), right.end() - 1);
  });
  std::vector<Row> rows;
  for (std::size_t index : order) {
    const Request& request = requests[index];
    if (rows.empty() || !same_input(requests[rows.back().requests.front()].ids, request.ids)) {
      rows.push_back({{}, request.ids.size() - 1, 0});
    }
    rows.back().requests.push_back(index);
    rows.back().scored = std::max(rows.back().scored, request.continuation);
  }
  return rows;
}

}  // namespace tercet::eval
