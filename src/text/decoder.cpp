#include "text/decoder.hpp"

#include <optional>

#include "text/byte_level.hpp"
#include "text/limits.hpp"
#include "text/normalizer.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/regex.hpp"
#include "text/unicode.hpp"

namespace tercet::text {
namespace {

using Entries = std::vector<std::string>;

std::string join(const Entries& entries, const std::string& separator) {
  std::string text;
  for (std::size_t i = 0; i < entries.size(); ++i) text += (i == 0 ? "" : separator) + entries[i];
  return text;
}

std::size_t total_size(const Entries& entries) {
  std::size_t size = entries.size();  // also what is joined by spaces
  for (const std::string& entry : entries) size += entry.size();
  return size;
}

Entries decode_bytes(const Entries& entries) {
  std::string text;
  std::string bytes;
  for (const std::string& entry : entries) text += bytes_of_entry(entry, bytes) ? bytes : entry;
  return {lossy_utf8(text)};
}

// The byte that "<0xE4>" stands for.
std::optional<char> fallback_byte(const std::string& entry) {
  if (entry.size() != 6 || !entry.starts_with("<0x") || entry[5] != '>') return std::nullopt;
  if (entry.find_first_not_of("0123456789abcdefABCDEF", 3) != 5) return std::nullopt;
  return static_cast<char>(std::stoi(entry.substr(3, 2), nullptr, 16));
}

// A run of byte entries becomes text if it is valid UTF-8, else one U+FFFD for each byte.
Entries decode_fallback(const Entries& entries) {
  Entries out;
  std::string run;
  const auto flush = [&] {
    if (run.empty()) return;
    if (first_invalid_utf8(run) == std::string::npos)
      out.push_back(run);
    else
      out.insert(out.end(), run.size(), "\xEF\xBF\xBD");
    run.clear();
  };
  for (const std::string& entry : entries) {
    if (const auto byte = fallback_byte(entry)) {
      run += *byte;
    } else {
      flush();
      out.push_back(entry);
    }
  }
  flush();
  return out;
}

std::string strip(const std::string& text, const std::string& content, std::int64_t start, std::int64_t stop) {
  std::string_view rest(text);
  for (; start > 0 && rest.starts_with(content); --start) rest.remove_prefix(content.size());
  for (; stop > 0 && rest.ends_with(content); --stop) rest.remove_suffix(content.size());
  return std::string(rest);
}

std::string replace_within(const std::string& entry, const std::string& from, const std::string& to) {
  return replace_all(entry, from, to, kMostGrowth * entry.size() + kAlwaysGrows);
}

// A step that treats every entry by itself.
auto each(std::function<std::string(const std::string&)> change) {
  return [change = std::move(change)](Entries entries) {
    for (std::string& entry : entries) entry = change(entry);
    return entries;
  };
}

auto metaspace(const std::string& marker, PrependScheme scheme) {
  return [marker, scheme](Entries entries) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const bool drop = i == 0 && scheme != PrependScheme::kNever;
      entries[i] = replace_all(entries[i], marker, drop ? "" : " ");
    }
    return entries;
  };
}

}  // namespace

Decoder::Decoder(const JsonView& config) {
  if (config.is_null()) {
    steps_.emplace_back([](const Entries& entries) { return Entries{join(entries, " ")}; });
  } else {
    add(config, 0);
  }
}

std::string Decoder::operator()(Entries entries) const {
  const std::size_t limit = kMostGrowth * total_size(entries) + kAlwaysGrows;
  for (const Step& step : steps_) {
    entries = step(std::move(entries));
    if (total_size(entries) > limit) throw DataError("cannot decode ids", "its replacements make the text too long");
  }
  return join(entries, "");
}

void Decoder::add(const JsonView& config, int depth) {
  if (depth > kDeepestNesting) config.fail("decoders are nested too deeply");
  if (steps_.size() >= kMostSteps) config.fail("there are more than " + std::to_string(kMostSteps) + " steps");
  const std::string type = config.type();
  if (type == "Sequence") {
    const JsonView parts = config.at("decoders");
    for (std::size_t i = 0; i < parts.size(); ++i) add(parts.at(i), depth + 1);
  } else if (type == "ByteLevel") {
    steps_.emplace_back(decode_bytes);
  } else if (type == "ByteFallback") {
    steps_.emplace_back(decode_fallback);
  } else if (type == "Fuse") {
    steps_.emplace_back([](const Entries& entries) { return Entries{join(entries, "")}; });
  } else if (type == "Metaspace") {
    steps_.emplace_back(metaspace(metaspace_marker(config), prepend_scheme(config)));
  } else if (type == "Replace") {
    const std::string from = config.at("pattern").at("String").string();
    if (from.empty()) config.fail("its pattern is empty");
    const std::string to = config.at("content").string();
    steps_.emplace_back(each([from, to](const std::string& entry) { return replace_within(entry, from, to); }));
  } else if (type == "Strip") {
    const std::string content = config.at("content").string();
    if (content.empty()) config.fail("its content is empty");
    const std::int64_t start = config.at("start").integer(0, 1 << 20);
    const std::int64_t stop = config.at("stop").integer(0, 1 << 20);
    steps_.emplace_back(each([=](const std::string& entry) { return strip(entry, content, start, stop); }));
  } else {
    config.fail("decoder type '" + type + "' is not supported");
  }
}

}  // namespace tercet::text
