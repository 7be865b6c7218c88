#include "tercet/text/text_estimate.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "text/text_files.hpp"
#include "text/unicode.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kSampledFiles = 8;
constexpr std::size_t kPieceBytes = 32 << 10;
constexpr std::uint64_t kLargestUnpacked = 8 << 20;  // bytes of a compressed file that is opened to look at
constexpr double kCompression = 4.0;                 // bytes of text in one of a compressed file, if none was opened
constexpr double kTokensPerByte = 0.3;               // if nothing could be sampled

struct Sample {
  std::uint64_t bytes = 0, tokens = 0;           // of the pieces
  std::uint64_t packed_bytes = 0, unpacked = 0;  // of the compressed files that were opened
};

bool is_compressed(const fs::path& path) {
  return text::format_of(path).compression != text::TextFormat::Compression::kNone;
}

// Whole code points from the middle of a text.
std::string_view middle_piece(std::string_view text) {
  const auto inside_code_point = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; };
  std::size_t begin = text.size() > kPieceBytes ? (text.size() - kPieceBytes) / 2 : 0;
  while (begin < text.size() && inside_code_point(text[begin])) ++begin;
  std::size_t end = std::min(text.size(), begin + kPieceBytes);
  while (end < text.size() && end > begin && inside_code_point(text[end])) --end;
  return text.substr(begin, end - begin);
}

void look_at(const fs::path& path, const Tokenizer& tokenizer, Sample& sample) {
  const std::uint64_t size = fs::file_size(path);
  if (is_compressed(path) && size > kLargestUnpacked) return;
  const text::TextContent content(path);
  if (is_compressed(path)) {
    sample.packed_bytes += size;
    sample.unpacked += content.view().size();
  }
  const std::string_view piece = middle_piece(content.view());
  if (text::first_invalid_utf8(piece) != std::string_view::npos) return;  // said when the text is tokenized
  std::vector<std::int32_t> ids;
  tokenizer.encode(piece, ids);
  sample.bytes += piece.size();
  sample.tokens += ids.size();
}

}  // namespace

TextEstimate estimate_text(const TextSource& source, const Tokenizer& tokenizer) {
  const std::vector<fs::path> files = text::list_text_files(source.path);
  Sample sample;
  const std::size_t looks = std::min(files.size(), kSampledFiles);
  for (std::size_t i = 0; i < looks; ++i) look_at(files[i * files.size() / looks], tokenizer, sample);

  const double compression = sample.packed_bytes > 0
                                 ? static_cast<double>(sample.unpacked) / static_cast<double>(sample.packed_bytes)
                                 : kCompression;
  TextEstimate estimate;
  double text_bytes = 0;
  for (const fs::path& path : files) {
    const std::uint64_t size = fs::file_size(path);
    ++estimate.files;
    estimate.bytes += size;
    text_bytes += static_cast<double>(size) * (is_compressed(path) ? compression : 1.0);
  }
  const double density =
      sample.bytes > 0 ? static_cast<double>(sample.tokens) / static_cast<double>(sample.bytes) : kTokensPerByte;
  estimate.tokens = static_cast<std::uint64_t>(text_bytes * density);
  return estimate;
}

}  // namespace tercet
