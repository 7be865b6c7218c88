#include "tercet/generate/generate.hpp"
#include "tercet/base/clock.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/utf8.hpp"

namespace tercet {
namespace {

at::Tensor as_batch(const std::vector<std::int32_t>& ids, c10::Device device) {
  at::Tensor batch = at::empty({1, static_cast<std::int64_t>(ids.size())}, at::kLong);
  std::copy(ids.begin(), ids.end(), batch.mutable_data_ptr<std::int64_t>());
  return batch.to(device);
}

// The text of a growing list of ids, given out in parts. A token may end inside a character, and its text may depend on
// the token before it; so what is compared is the text of prompt and result together, and an unfinished character
// waits.
class Text {
 public:
  Text(const Tokenizer& tokenizer, const std::vector<std::int32_t>& prompt, std::function<void(std::string_view)> piece)
      : tokenizer_(tokenizer), ids_(prompt), piece_(std::move(piece)), given_(tokenizer.decode(prompt).size()) {
    begin_ = given_;
  }

  void add(std::int32_t id) {
    ids_.push_back(id);
    give(false);
  }

  std::string finish() {
    give(true);
    return text_.substr(std::min(begin_, text_.size()));
  }

 private:
  void give(bool all) {
    text_ = tokenizer_.decode(ids_);
    std::size_t end = text_.size();
    // decode() puts U+FFFD where bytes are missing; what comes next may complete them.
    while (!all && end >= 3 && end > given_ && text_.compare(end - 3, 3, "\xEF\xBF\xBD") == 0) end -= 3;
    if (end <= given_) return;
    if (piece_) piece_(std::string_view(text_).substr(given_, end - given_));
    given_ = end;
  }

  const Tokenizer& tokenizer_;
  std::vector<std::int32_t> ids_;
  std::function<void(std::string_view)> piece_;
  std::string text_;
  std::size_t begin_ = 0, given_ = 0;  // bytes: of the prompt, and of what was given out
};

}  // namespace

std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const std::string& prompt, const ModelConfig& config) {
  if (first_invalid_utf8(prompt) != std::string::npos) throw DataError("the prompt is not UTF-8");
  std::vector<std::int32_t> ids;
  tokenizer.encode(prompt, ids);
  if (ids.empty()) throw DataError("the prompt holds no token", "", "give some text to go on from");
  if (static_cast<std::int64_t>(ids.size()) >= config.max_positions) {
    throw DataError("the prompt has " + std::to_string(ids.size()) + " tokens",
                    "the model knows " + std::to_string(config.max_positions) + " positions", "shorten it");
  }
  return ids;
}

Generated generate(const Decoder& model, const Tokenizer& tokenizer, const std::string& prompt,
                   const GenerationOptions& options, const std::function<void(std::string_view piece)>& piece) {
  Generated result;
  result.prompt = prompt_ids(tokenizer, prompt, model.config());
  const auto length = static_cast<std::int64_t>(result.prompt.size());
  const std::int64_t wanted = std::min(options.tokens, model.config().max_positions - length);
  KeyValueCache cache(model.config(), length + wanted, model.device().str());
  Text text(tokenizer, result.prompt, piece);
  auto begin = Clock::now();
  at::Tensor logits = model.next_logits(as_batch(result.prompt, model.device()), cache);
  logits = logits.to(at::kCPU);  // waits for a GPU
  result.prefill_s = seconds_since(begin);
  begin = Clock::now();
  while (static_cast<std::int64_t>(result.ids.size()) < wanted) {
    heartbeat::beat();
    const std::int32_t id = sample(logits, options.sampling, result.ids.size());
    result.ended = options.stop_at_end && id == tokenizer.eos_token();
    if (result.ended) break;
    result.ids.push_back(id);
    text.add(id);
    if (static_cast<std::int64_t>(result.ids.size()) < wanted) {
      logits = model.next_logits(as_batch({id}, model.device()), cache);
    }
  }
  result.decode_s = seconds_since(begin);
  result.text = text.finish();
  return result;
}

}  // namespace tercet
