#include "text/tokenizer_document.hpp"

#include <array>

#include "tercet/base/hash.hpp"
#include "text/gpt2_files.hpp"
#include "text/json_view.hpp"
#include "text/special_token_text.hpp"

namespace tercet::text {
namespace fs = std::filesystem;

std::optional<TokenizerDocument> tokenizer_json(const fs::path& folder) {
  const fs::path file = folder / "tokenizer.json";
  if (!fs::exists(file)) return std::nullopt;
  return TokenizerDocument{read_json(file), file.string(), sha256_file(file)};
}

std::optional<TokenizerDocument> vocabulary_and_merges(const fs::path& folder) {
  using Pair = std::array<const char*, 2>;
  for (const auto& [vocabulary, merges] : {Pair{"vocab.json", "merges.txt"}, Pair{"encoder.json", "vocab.bpe"}}) {
    if (!fs::exists(folder / vocabulary) || !fs::exists(folder / merges)) continue;
    const nlohmann::json settings = read_if_there(folder / "tokenizer_config.json");
    Gpt2Files files = read_gpt2_files(folder / vocabulary, folder / merges, settings);
    return TokenizerDocument{std::move(files.document), (folder / vocabulary).string(), files.hash};
  }
  return std::nullopt;
}

}  // namespace tercet::text
