#include "text/decompress.hpp"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tercet/base/error.hpp"

namespace tercet::text {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 18;
// A small file can be made to unpack to any size. Language is compressed five- to tenfold; what goes far beyond is no
// text.
constexpr std::size_t kLargestText = std::size_t{16} << 30;
constexpr std::size_t kAlwaysUnpacked = std::size_t{64} << 20;
constexpr std::size_t kMostUnpacking = 200;

DataError damaged(const std::filesystem::path& path, const std::string& reason) {
  return DataError("cannot decompress '" + path.string() + "'", reason);
}

std::size_t size_limit(std::string_view compressed) {
  return std::min(kLargestText, std::max(kAlwaysUnpacked, kMostUnpacking * compressed.size()));
}

void append_bounded(std::string& text, const std::vector<char>& chunk, std::size_t size, std::size_t limit,
                    const std::filesystem::path& path) {
  if (text.size() + size > limit) {
    throw damaged(path, "its text is larger than " + std::to_string(limit) + " bytes, which no language is");
  }
  text.append(chunk.data(), size);
}

}  // namespace

std::string decompress_gzip(std::string_view compressed, const std::filesystem::path& path) {
  z_stream stream{};
  if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK) throw damaged(path, "zlib cannot start");
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> owner(&stream, &inflateEnd);
  std::string text;
  std::vector<char> chunk(kChunk);
  const std::size_t limit = size_limit(compressed);
  int status = Z_STREAM_END;
  while (!compressed.empty()) {
    if (status == Z_STREAM_END) inflateReset(&stream);
    const std::size_t given = std::min(compressed.size(), kChunk);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
    stream.avail_in = static_cast<uInt>(given);
    do {
      stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
      stream.avail_out = static_cast<uInt>(chunk.size());
      status = inflate(&stream, Z_NO_FLUSH);
      if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
        throw damaged(path, stream.msg != nullptr ? stream.msg : "it is not gzip data");
      }
      append_bounded(text, chunk, chunk.size() - stream.avail_out, limit, path);
    } while (stream.avail_out == 0 && status != Z_STREAM_END);
    compressed.remove_prefix(given - stream.avail_in);
  }
  if (status != Z_STREAM_END) throw damaged(path, "it ends too early");
  return text;
}

std::string decompress_zstd(std::string_view compressed, const std::filesystem::path& path) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  std::string text;
  std::vector<char> chunk(kChunk);
  const std::size_t limit = size_limit(compressed);
  ZSTD_inBuffer input{compressed.data(), compressed.size(), 0};
  std::size_t status = 0;
  bool filled = false;  // output may still wait inside after the last input
  while (input.pos < input.size || filled) {
    ZSTD_outBuffer output{chunk.data(), chunk.size(), 0};
    status = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(status) != 0) throw damaged(path, ZSTD_getErrorName(status));
    append_bounded(text, chunk, output.pos, limit, path);
    filled = output.pos == chunk.size() && status != 0;
  }
  if (status != 0) throw damaged(path, "it ends too early");
  return text;
}

}  // namespace tercet::text
