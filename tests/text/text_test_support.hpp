// Shared by the tests of the module text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "support/shared_data.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet::test {
namespace fs = std::filesystem;

inline std::vector<std::int32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
}

}  // namespace tercet::test
