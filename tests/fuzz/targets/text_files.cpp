// Text of a source, by suffix: plain, JSON lines, gzip, zstd. The first byte of the input chooses.
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <stdexcept>

#include "target.hpp"
#include "tercet/base/error.hpp"
#include "text/documents.hpp"
#include "text/text_files.hpp"

namespace tercet::fuzz {
namespace {

constexpr std::array kNames = {"text.txt",       "lines.jsonl",  "text.txt.gz",
                               "lines.jsonl.gz", "text.txt.zst", "lines.jsonl.zst"};
const std::string kLines = "{\"text\": \"one \\u00e9\"}\n\n{\"id\": 1, \"text\": \"two\"}\n";

std::string gzip(const std::string& text) {
  std::string out(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw DataError("no zlib");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::vector<std::string> seeds() {
  const std::string plain = std::string(4200, 'x') + "\n\nnext\n \nlast";
  const auto with = [](char kind, const std::string& content) { return kind + content; };
  return {with('\0', plain),
          with('\1', kLines),
          with('\2', gzip(plain)),
          with('\3', gzip(kLines) + gzip(kLines)),
          with('\4', zstd(plain)),
          with('\5', zstd(kLines)),
          with('\2', gzip(std::string(1 << 20, '\0'))),
          with('\4', zstd(std::string(1 << 20, '\0')))};
}

void read(std::string_view input) {
  if (input.empty()) return;
  const auto kind = static_cast<unsigned char>(input.front()) % kNames.size();
  const auto file = scratch_file(kNames[kind], input.substr(1));
  const text::TextContent content(file);
  text::require_utf8(content.view(), file);
  if (text::format_of(file).json_lines) {
    for (const text::JsonLine& line : text::json_lines(content.view())) (void)text::json_document(line, "text", file);
    return;
  }
  std::size_t bytes = 0;
  for (const std::string_view document : text::plain_documents(content.view())) bytes += document.size();
  if (bytes != content.view().size()) throw std::logic_error("documents lose text");
}

const Registration kTarget({"text_files", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
