// Normalizers of tokenizer.json, applied to the text between added tokens before anything else looks at it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_view.hpp"

namespace tercet::text {

class Normalizer {
 public:
  // The value of "normalizer" (null: none). Throws DataError for an unsupported type.
  explicit Normalizer(const JsonView& config);

  bool empty() const { return steps_.empty(); }
  // Throws DataError where replacements would make the text many times longer.
  std::string operator()(std::string_view text) const;

 private:
  using Step = std::function<std::string(std::string_view text, std::size_t limit)>;
  void add(const JsonView& config, int depth);
  void add_replace(const JsonView& config);

  std::vector<Step> steps_;
};

// Replaces each occurrence of `from`, which is not empty, from left to right. Throws DataError when the result would
// have more than `limit` bytes.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to,
                        std::size_t limit = std::string::npos);

}  // namespace tercet::text
