// Tokens added beside the model's vocabulary: they are found in the text before the model sees the rest.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/bpe.hpp"
#include "text/json_view.hpp"
#include "text/normalizer.hpp"

namespace tercet::text {

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool single_word = false;  // only where no word character is next to it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = true;    // looked for in the normalized text, and normalized itself
  bool special = false;
};

// Finds one set of tokens: at each position the longest that matches, from left to right.
class TokenFinder {
 public:
  // `content` is what to look for; tokens with empty content are never found.
  void add(const std::string& content, const AddedToken& token);

  // Calls `plain` for text between tokens and `found` for tokens, in order.
  void split(std::string_view text, const std::function<void(std::string_view)>& plain,
             const std::function<void(std::int32_t)>& found) const;

 private:
  struct Hit {
    std::size_t length = 0;
    const AddedToken* token = nullptr;
  };
  Hit longest_at(std::string_view text, std::size_t position) const;

  // A trie as a map from (node, byte) to node.
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;
  std::unordered_map<std::uint32_t, AddedToken> tokens_;  // by node
  std::array<bool, 256> first_bytes_{};
  std::uint32_t nodes_ = 1;
};

class AddedTokens {
 public:
  // The value of "added_tokens". Ids are those that the tokenizers package gives: of the vocabulary where the content
  // is in it, else the next free one.
  AddedTokens(const JsonView& tokens, const BpeModel& model, const Normalizer& normalizer);

  const TokenFinder& in_raw_text() const { return raw_; }
  const TokenFinder& in_normalized_text() const { return normalized_; }
  const std::string* content_of(std::int32_t id) const;    // nullptr: none
  std::int32_t id_of(const std::string& content) const;    // -1: none
  std::int64_t largest_id() const { return largest_id_; }  // -1: no tokens

 private:
  TokenFinder raw_, normalized_;
  std::unordered_map<std::string, AddedToken> by_content_;
  std::unordered_map<std::int32_t, std::string> contents_;
  std::int64_t largest_id_ = -1;
};

}  // namespace tercet::text
