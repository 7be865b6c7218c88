// How much text a source is, found without tokenizing it.
#pragma once

#include <cstdint>

#include "tercet/text/dataset.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet {

struct TextEstimate {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;   // on disk
  std::uint64_t tokens = 0;  // about: from pieces of at most eight files, tokenized
};

// On any rank alone. Reads file sizes and a few pieces of 32 KB from the middle of files. Throws DataError when there
// is no file. Compressed files above 8 MB are not opened; they are taken to hold four bytes of text in each of theirs.
TextEstimate estimate_text(const TextSource& source, const Tokenizer& tokenizer);

}  // namespace tercet
