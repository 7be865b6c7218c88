// Decoders of tokenizer.json: entries of the vocabulary back to text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "text/json_view.hpp"

namespace tercet::text {

class Decoder {
 public:
  // The value of "decoder" (null: entries joined by spaces). Throws DataError for an unsupported type.
  explicit Decoder(const JsonView& config);
  std::string operator()(std::vector<std::string> entries) const;

 private:
  using Step = std::function<std::vector<std::string>(std::vector<std::string>)>;
  void add(const JsonView& config, int depth);

  std::vector<Step> steps_;
};

}  // namespace tercet::text
