// What a text source consists of, found out by rank 0 and known to all.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tercet/text/dataset.hpp"

namespace tercet::text {

struct SourceFiles {
  TextSource source;
  std::vector<std::filesystem::path> files;
  std::vector<std::uint64_t> sizes;
  std::string sha256;  // of the files' bytes, in order
  std::uint64_t bytes = 0;
};

// Collective. Throws DataError for a missing or empty source.
SourceFiles find_source_files(Communicator& comm, const TextSource& source);

// Names everything the ids depend on: the text, the tokenizer, and the rules of cutting and splitting it.
std::string cache_key(const SourceFiles& source, const Tokenizer& tokenizer, double held_out_fraction);

}  // namespace tercet::text
