// Where a text may be cut before SentencePiece sees it, without a change of ids. The library takes a text as one
// sentence, and its time grows faster than the sentence; words can also be cached.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace tercet::text {

// A cut is at a single space between two ASCII characters c and d, if no entry of a BPE model has c directly before
// U+2581: then nothing merges across it. The space is left out, since the model puts one before each sentence.
class SentenceBreaks {
 public:
  SentenceBreaks() = default;                             // no breaks at all
  explicit SentenceBreaks(std::string_view model_proto);  // no breaks if the model's settings do not allow them

  // Position of the first such space after `from`, or the size of the text.
  std::size_t next(std::string_view text, std::size_t from) const;

 private:
  bool allowed_ = false;
  std::array<bool, 128> joins_{};  // characters that some entry has before U+2581
};

}  // namespace tercet::text
