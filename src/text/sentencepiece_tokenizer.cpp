#include "text/sentencepiece_tokenizer.hpp"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <iterator>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "text/limits.hpp"
#include "text/normalization_rules.hpp"
#include "text/scratch_pool.hpp"
#include "text/sentence_breaks.hpp"
#include "text/unicode.hpp"
#include "text/word_cache.hpp"

namespace tercet::text {
namespace {

constexpr std::uintmax_t kLargestModel = std::uintmax_t{256} << 20;

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::filesystem::path& path, const std::string& eos_entry) : file_(path.string()) {
    const std::string content = read_file(path, kLargestModel);
    hash_ = sha256_hex(content);
    if (const std::string problem = problem_with_model(content); !problem.empty()) {
      throw DataError("'" + file_ + "' is not a SentencePiece model", problem);
    }
    // Of an empty file the library makes a model without entries.
    const auto status = processor_.LoadFromSerializedProto(content);
    if (!status.ok() || processor_.GetPieceSize() == 0) {
      throw DataError("'" + file_ + "' is not a SentencePiece model", status.ok() ? "it is empty" : status.ToString());
    }
    breaks_ = SentenceBreaks(content);
    eos_ = processor_.eos_id();
    if (!eos_entry.empty() && id_of(eos_entry) >= 0) eos_ = id_of(eos_entry);
  }

  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override {
    if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos) {
      throw DataError("cannot tokenize a text", "it is not valid UTF-8 at byte " + std::to_string(bad));
    }
    ScratchPool<WordCache>::Lease cache(caches_);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = breaks_.next(text, begin);
      encode_part(text.substr(begin, end - begin), *cache, ids);
      begin = end + 1;  // without the space, which the library's prefix puts back
    }
  }

  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::vector<int> known;
    std::copy_if(ids.begin(), ids.end(), std::back_inserter(known),
                 [&](std::int32_t id) { return id >= 0 && id < processor_.GetPieceSize(); });
    std::string text;
    const auto status = processor_.Decode(known, &text);
    if (!status.ok()) throw DataError("cannot decode ids with '" + file_ + "'", status.ToString());
    return text;
  }

  std::int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  std::int64_t eos_token() const override { return eos_; }
  // The library answers the unknown entry's id for what it does not know.
  std::int32_t id_of(const std::string& entry) const override {
    const int id = processor_.PieceToId(entry);
    return processor_.IdToPiece(id) == entry ? id : -1;
  }
  std::string hash() const override { return hash_; }

 private:
  void encode_part(std::string_view part, WordCache& cache, std::vector<std::int32_t>& ids) const {
    if (WordCache::holds(part) && cache.append(part, ids)) return;
    if (part.size() > kLongestWord) {
      throw DataError("cannot tokenize a text with '" + file_ + "'",
                      std::to_string(part.size()) + " bytes of it have no place to cut", "use text with blank lines");
    }
    std::vector<int> encoded;
    const auto status = processor_.Encode(part, &encoded);
    if (!status.ok()) throw DataError("cannot tokenize a text with '" + file_ + "'", status.ToString());
    ids.insert(ids.end(), encoded.begin(), encoded.end());
    if (WordCache::holds(part)) cache.insert(part, encoded);
  }

  sentencepiece::SentencePieceProcessor processor_;
  SentenceBreaks breaks_;
  mutable ScratchPool<WordCache> caches_;
  std::string file_, hash_;
  std::int64_t eos_ = -1;
};

}  // namespace

std::unique_ptr<Tokenizer> open_sentencepiece(const std::filesystem::path& path, const std::string& eos_entry) {
  return std::make_unique<SentencePieceTokenizer>(path, eos_entry);
}

}  // namespace tercet::text
