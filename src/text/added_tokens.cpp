#include "text/added_tokens.hpp"

#include <algorithm>

#include "text/limits.hpp"
#include "text/unicode.hpp"

namespace tercet::text {
namespace {

AddedToken read_token(const JsonView& config) {
  AddedToken token;
  token.content = config.at("content").string();
  if (token.content.size() > kLongestAddedToken) {
    config.fail("its content is longer than " + std::to_string(kLongestAddedToken) + " bytes");
  }
  token.special = config.boolean_or("special", false);
  token.single_word = config.boolean_or("single_word", false);
  token.lstrip = config.boolean_or("lstrip", false);
  token.rstrip = config.boolean_or("rstrip", false);
  token.normalized = config.boolean_or("normalized", !token.special);
  return token;
}

bool word_before(std::string_view text, std::size_t position) {
  const std::string_view before = text.substr(0, position);
  return !before.empty() && is_word(code_point_at(before, last_code_point_start(before)));
}

bool word_after(std::string_view text, std::size_t position) {
  return position < text.size() && is_word(code_point_at(text, position));
}

std::size_t space_begin(std::string_view text, std::size_t position, std::size_t limit) {
  while (position > limit) {
    const std::size_t last = last_code_point_start(text.substr(0, position));
    if (!is_white_space(code_point_at(text, last))) break;
    position = last;
  }
  return position;
}

std::size_t space_end(std::string_view text, std::size_t position) {
  while (position < text.size()) {
    unsigned length = 0;
    if (!is_white_space(code_point_at(text, position, &length))) break;
    position += length;
  }
  return position;
}

std::uint64_t edge(std::uint32_t node, char byte) {
  return std::uint64_t{node} << 8 | static_cast<unsigned char>(byte);
}

}  // namespace

void TokenFinder::add(const std::string& content, const AddedToken& token) {
  if (content.empty()) return;
  std::uint32_t node = 0;
  for (char byte : content) {
    const auto [next, is_new] = edges_.try_emplace(edge(node, byte), nodes_);
    if (is_new) ++nodes_;
    node = next->second;
  }
  tokens_.try_emplace(node, token);
  first_bytes_[static_cast<unsigned char>(content.front())] = true;
}

TokenFinder::Hit TokenFinder::longest_at(std::string_view text, std::size_t position) const {
  Hit hit;
  std::uint32_t node = 0;
  for (std::size_t at = position; at < text.size(); ++at) {
    const auto next = edges_.find(edge(node, text[at]));
    if (next == edges_.end()) break;
    node = next->second;
    if (const auto token = tokens_.find(node); token != tokens_.end()) hit = {at + 1 - position, &token->second};
  }
  return hit;
}

void TokenFinder::split(std::string_view text, const std::function<void(std::string_view)>& plain,
                        const std::function<void(std::int32_t)>& found) const {
  std::size_t done = 0;
  for (std::size_t position = 0; !tokens_.empty() && position < text.size();) {
    const bool possible = first_bytes_[static_cast<unsigned char>(text[position])];
    const Hit hit = possible ? longest_at(text, position) : Hit{};
    if (hit.token == nullptr) {
      ++position;
      continue;
    }
    std::size_t begin = position;
    std::size_t end = position = begin + hit.length;
    if (hit.token->single_word && (word_before(text, begin) || word_after(text, end))) continue;
    if (hit.token->lstrip) begin = space_begin(text, begin, done);
    if (hit.token->rstrip) end = space_end(text, end);
    if (done < begin) plain(text.substr(done, begin - done));
    found(hit.token->id);
    done = end;
    position = std::max(position, end);
  }
  if (done < text.size()) plain(text.substr(done));
}

AddedTokens::AddedTokens(const JsonView& tokens, const BpeModel& model, const Normalizer& normalizer) {
  std::vector<std::string> order;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    AddedToken token = read_token(tokens.at(i));
    if (token.content.empty()) continue;
    const auto known = by_content_.find(token.content);
    if (known != by_content_.end()) {
      token.id = known->second.id;
    } else if (token.id = model.id_of(token.content); token.id < 0) {
      token.id = static_cast<std::int32_t>(std::max(largest_id_ + 1, model.vocab_size()));
    }
    largest_id_ = std::max<std::int64_t>(largest_id_, token.id);
    contents_[token.id] = token.content;
    if (known == by_content_.end()) order.push_back(token.content);
    by_content_.insert_or_assign(token.content, token);
  }
  for (const std::string& content : order) {
    const AddedToken& token = by_content_.at(content);
    if (!token.normalized)
      raw_.add(content, token);
    else
      normalized_.add(normalizer.empty() ? content : normalizer(content), token);
  }
}

const std::string* AddedTokens::content_of(std::int32_t id) const {
  const auto found = contents_.find(id);
  return found == contents_.end() ? nullptr : &found->second;
}

std::int32_t AddedTokens::id_of(const std::string& content) const {
  const auto found = by_content_.find(content);
  return found == by_content_.end() ? -1 : found->second.id;
}

}  // namespace tercet::text
