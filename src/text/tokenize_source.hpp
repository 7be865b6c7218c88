// Making the token files of one source: ranks tokenize blocks of documents in turn, rank 0 joins them in order.
#pragma once

#include <filesystem>
#include <string>

#include "text/source_files.hpp"

namespace tercet::text {

struct TokenFiles {
  std::filesystem::path training, held_out;
};
TokenFiles token_files(const std::filesystem::path& cache, const std::string& key);

// Collective. Writes both token files into `cache`; they are the same for any number of ranks.
void tokenize_source(Communicator& comm, const SourceFiles& source, const DatasetOptions& options,
                     const Tokenizer& tokenizer, const std::string& key);

}  // namespace tercet::text
