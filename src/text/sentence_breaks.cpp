#include "text/sentence_breaks.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include "text/message_reader.hpp"
#include "text/unicode.hpp"

namespace tercet::text {
namespace {

// Settings of sentencepiece_model.proto, with its defaults.
struct Settings {
  std::uint64_t model_type = 1;  // 2: BPE
  bool suffix = false, prefix = true, escape = true, known_rules = true;
};

void read_trainer(std::string_view message, Settings& settings) {
  for (MessageReader reader(message); reader.next();) {
    if (reader.field() == 3) settings.model_type = reader.value();
    if (reader.field() == 24) settings.suffix = reader.value() != 0;
  }
}

void read_normalizer(std::string_view message, Settings& settings) {
  std::string_view name;
  bool has_rules = false;
  for (MessageReader reader(message); reader.next();) {
    if (reader.field() == 1) name = reader.bytes();
    if (reader.field() == 2) has_rules = !reader.bytes().empty();
    if (reader.field() == 3) settings.prefix = reader.value() != 0;
    if (reader.field() == 5) settings.escape = reader.value() != 0;
  }
  // These rules leave ASCII as it is and have none across a space.
  settings.known_rules = !has_rules || name == "nmt_nfkc" || name == "nfkc" || name == "identity";
}

std::string_view piece_of(std::string_view message) {
  for (MessageReader reader(message); reader.next();) {
    if (reader.field() == 1) return reader.bytes();
  }
  return {};
}

bool is_graphic(char c) {
  return c > ' ' && c <= '~';
}

}  // namespace

SentenceBreaks::SentenceBreaks(std::string_view model_proto) {
  Settings settings;
  bool has_marker = false;
  bool has_space = false;
  for (MessageReader reader(model_proto); reader.next();) {
    if (reader.field() == 2) read_trainer(reader.bytes(), settings);
    if (reader.field() == 3) read_normalizer(reader.bytes(), settings);
    if (reader.field() != 1) continue;
    const std::string_view piece = piece_of(reader.bytes());
    has_marker = has_marker || piece == kSentencePieceSpace;
    has_space = has_space || piece.find(' ') != std::string_view::npos;
    for (std::size_t at = piece.find(kSentencePieceSpace, 1); at != std::string_view::npos;
         at = piece.find(kSentencePieceSpace, at + 1)) {
      const auto before = static_cast<unsigned char>(piece[at - 1]);
      if (before < joins_.size()) joins_[before] = true;
    }
  }
  allowed_ = settings.model_type == 2 && settings.prefix && settings.escape && !settings.suffix &&
             settings.known_rules && has_marker && !has_space;
}

std::size_t SentenceBreaks::next(std::string_view text, std::size_t from) const {
  if (!allowed_) return text.size();
  for (std::size_t at = text.find(' ', from + 1); at != std::string_view::npos; at = text.find(' ', at + 1)) {
    const char before = text[at - 1];
    const bool inside = at + 1 < text.size() && is_graphic(before) && is_graphic(text[at + 1]);
    if (inside && !joins_[static_cast<unsigned char>(before)]) return at;
  }
  return text.size();
}

}  // namespace tercet::text
