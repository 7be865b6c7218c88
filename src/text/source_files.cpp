#include "text/source_files.hpp"

#include <nlohmann/json.hpp>

#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "text/documents.hpp"
#include "text/text_files.hpp"

namespace tercet::text {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

json describe(const TextSource& source) {
  json files = json::array();
  json sizes = json::array();
  std::uint64_t bytes = 0;
  Sha256 hash;
  for (const fs::path& path : list_text_files(source.path)) {
    const MappedFile file(path);
    files.push_back(path.string());
    sizes.push_back(file.bytes().size());
    bytes += file.bytes().size();
    hash.update(file.bytes());
  }
  if (bytes == 0) throw DataError("text source '" + source.path + "' is empty", "its files have no bytes");
  return {{"files", files}, {"sizes", sizes}, {"bytes", bytes}, {"sha256", hash.hex()}};
}

std::string kind_of(const fs::path& path) {
  const TextFormat format = format_of(path);
  return std::string(format.json_lines ? "jsonl" : "text") + "." + std::to_string(static_cast<int>(format.compression));
}

}  // namespace

SourceFiles find_source_files(Communicator& comm, const TextSource& source) {
  const json found = json::parse(on_root(comm, [&] { return describe(source).dump(); }));
  SourceFiles files;
  files.source = source;
  for (const json& path : found.at("files")) files.files.emplace_back(path.get<std::string>());
  files.sizes = found.at("sizes").get<std::vector<std::uint64_t>>();
  files.sha256 = found.at("sha256").get<std::string>();
  files.bytes = found.at("bytes").get<std::uint64_t>();
  return files;
}

std::string cache_key(const SourceFiles& source, const Tokenizer& tokenizer, double held_out_fraction) {
  json kinds = json::array();
  for (const fs::path& path : source.files) kinds.push_back(kind_of(path));
  const json rules = {{"version", 1},
                      {"text", source.sha256},
                      {"sizes", source.sizes},
                      {"kinds", kinds},
                      {"field", source.source.field},
                      {"tokenizer", tokenizer.hash()},
                      {"eos", tokenizer.eos_token()},
                      {"vocab_size", tokenizer.vocab_size()},
                      {"held_out_fraction", held_out_fraction},
                      {"document_bytes", kDocumentBytes}};
  return sha256_hex(rules.dump());
}

}  // namespace tercet::text
