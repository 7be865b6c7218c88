// The tokenizer that a tokenizer.json describes.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tercet/text/tokenizer.hpp"
#include "text/added_tokens.hpp"
#include "text/bpe.hpp"
#include "text/decoder.hpp"
#include "text/normalizer.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/scratch_pool.hpp"

namespace tercet::text {

class JsonTokenizer : public Tokenizer {
 public:
  // `file` names the source in errors; `hash` is that of the defining files. Throws DataError. The sections
  // "truncation", "padding" and "post_processor" (special_tokens.hpp) do not concern ids without special tokens.
  JsonTokenizer(const nlohmann::json& document, const std::string& file, std::string hash);

  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  std::string decode(const std::vector<std::int32_t>& ids) const override;
  std::int64_t vocab_size() const override;
  std::int64_t eos_token() const override { return eos_; }
  std::int32_t id_of(const std::string& entry) const override;
  std::string hash() const override { return hash_; }

  void set_eos_token(std::int64_t id) { eos_ = id; }

 private:
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  BpeModel model_;
  AddedTokens added_;
  Decoder decoder_;
  std::string file_, hash_;
  std::int64_t eos_ = -1;
  mutable ScratchPool<BpeScratch> scratches_;
};

}  // namespace tercet::text
