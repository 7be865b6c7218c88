// Pre-tokenizers of tokenizer.json: they cut a text into words, each of which the model then handles by itself.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "text/json_view.hpp"

namespace tercet::text {

// Receives pieces in order. `at_start`: the piece begins where the whole text begins (Metaspace's "first" asks for it).
using PieceSink = std::function<void(std::string_view piece, bool at_start)>;

class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void split(std::string_view text, bool at_start, const PieceSink& sink) const = 0;
};

class PreTokenizer {
 public:
  // The value of "pre_tokenizer" (null: none). Throws DataError for an unsupported type or order.
  explicit PreTokenizer(const JsonView& config);

  // Pieces that are empty are left out.
  void split(std::string_view text, bool at_start, const PieceSink& sink) const { run(0, text, at_start, sink); }

  // Whether the model gets raw bytes that its vocabulary writes with printable stand-ins.
  bool byte_level() const { return byte_level_; }

 private:
  void add(const JsonView& config, int depth);
  void run(std::size_t step, std::string_view text, bool at_start, const PieceSink& sink) const;

  std::vector<std::shared_ptr<const PreTokenizerStep>> steps_;
  bool byte_level_ = false;
};

// Whether Metaspace writes a marker before a text that does not begin with one.
enum class PrependScheme { kAlways, kFirst, kNever };
PrependScheme prepend_scheme(const JsonView& metaspace);

// The marker of a Metaspace component: one code point.
std::string metaspace_marker(const JsonView& metaspace);

}  // namespace tercet::text
