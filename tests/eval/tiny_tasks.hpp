// Small tasks on a model whose tokens are bytes.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <memory>
#include <string>
#include <vector>

#include "support/scratch_folder.hpp"
#include "tercet/base/random.hpp"
#include "tercet/eval/task_score.hpp"
#include "train/tiny_model.hpp"

namespace tercet::test {

inline ModelConfig byte_config() {
  ModelConfig config = tiny_config();
  config.vocab_size = 257;
  return config;
}

inline at::Tensor row_of(const std::vector<std::int32_t>& ids) {
  at::Tensor row = at::empty({1, static_cast<std::int64_t>(ids.size())}, at::kLong);
  std::copy(ids.begin(), ids.end(), row.mutable_data_ptr<std::int64_t>());
  return row;
}

class ByteTask {
 public:
  ByteTask() {
    const ScratchFolder folder;
    write_byte_tokenizer(folder.path());
    tokenizer_ = open_tokenizer(folder.path());
  }
  TaskTokens tokens() const { return {*tokenizer_, {}}; }

  // 17 documents of two to four choices; some share the input but for the last byte, some are longer than the model's
  // positions.
  Task choices() const {
    Task task{"piqa", "", "", {}};
    for (std::uint64_t i = 0; i < 17; ++i) {
      TaskDocument document;
      const std::string context = letters(i, i % 5 == 0 ? 90 : 3 + 2 * i);
      for (std::uint64_t j = 0; j < 2 + i % 3; ++j) {
        const std::string answer =
            i % 2 == 0 ? std::string(1, static_cast<char>('a' + j)) : letters(i + 40 * j, 2 + 3 * j);
        document.choices.push_back({context, " " + answer, static_cast<std::int64_t>(answer.size())});
      }
      document.gold = i % document.choices.size();
      task.documents.push_back(std::move(document));
    }
    return task;
  }

  Task words() const {
    Task task{"lambada", "", "", {}};
    for (std::uint64_t i = 0; i < 11; ++i) {
      task.documents.push_back({{{letters(i, 4 * i), " " + letters(i + 100, 1 + i % 4), 1}}, 0});
    }
    return task;
  }

 private:
  static std::string letters(std::uint64_t seed, std::uint64_t count) {
    std::string text;
    for (std::uint64_t i = 0; i < count; ++i) {
      text += static_cast<char>('a' + random_bits(seed, purpose_of("letters"), i) % 26);
    }
    return text;
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace tercet::test
