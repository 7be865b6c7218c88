#include "text/token_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/text/dataset.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace text {
namespace {

template <class Id>
void pack_as(std::span<const std::int32_t> ids, std::byte* out) {
  for (std::int32_t id : ids) {
    const auto narrow = static_cast<Id>(id);
    std::memcpy(out, &narrow, sizeof narrow);
    out += sizeof narrow;
  }
}

}  // namespace

StagedFile::StagedFile(const fs::path& path) : path_(path), file_(std::fopen(path.c_str(), "wb")) {
  if (file_ == nullptr) fail();
}

StagedFile::~StagedFile() {
  if (file_ != nullptr) std::fclose(file_);
  std::error_code ignored;
  if (!path_.empty()) fs::remove(path_, ignored);
}

void StagedFile::fail() const {
  throw StoreError("cannot write '" + path_.string() + "'", std::strerror(errno), "check free space and permissions");
}

void StagedFile::write(std::span<const std::byte> bytes) {
  heartbeat::beat();
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail();
}

void StagedFile::write_at_start(std::span<const std::byte> bytes) {
  if (std::fseek(file_, 0, SEEK_SET) != 0) fail();
  write(bytes);
}

void StagedFile::close() {
  if (file_ == nullptr) return;
  std::FILE* file = std::exchange(file_, nullptr);
  if (std::fclose(file) != 0) fail();
  sync_path(path_);
}

void StagedFile::publish(const fs::path& target) {
  close();
  if (std::rename(path_.c_str(), target.c_str()) != 0) fail();
  path_.clear();
  sync_path(target.has_parent_path() ? target.parent_path() : fs::path("."));
}

TokenFileWriter::TokenFileWriter(const fs::path& staged, std::uint32_t bytes_per_id) : file_(staged) {
  header_.bytes_per_id = bytes_per_id;
  file_.write(std::as_bytes(std::span(&header_, 1)));
}

void TokenFileWriter::append(std::span<const std::byte> ids) {
  file_.write(ids);
  hash_.update(ids);
  bytes_ += ids.size();
}

void TokenFileWriter::publish(const fs::path& target, const std::string& key, std::uint64_t documents) {
  header_.ids = bytes_ / header_.bytes_per_id;
  header_.documents = documents;
  std::copy_n(key.begin(), header_.key.size(), header_.key.begin());
  const std::string hash = hash_.hex();
  std::copy_n(hash.begin(), header_.ids_sha256.size(), header_.ids_sha256.begin());
  file_.write_at_start(std::as_bytes(std::span(&header_, 1)));
  file_.publish(target);
}

std::vector<std::byte> pack_ids(std::span<const std::int32_t> ids, std::uint32_t bytes_per_id) {
  std::vector<std::byte> bytes(ids.size() * bytes_per_id);
  if (bytes_per_id == 2)
    pack_as<std::uint16_t>(ids, bytes.data());
  else
    pack_as<std::uint32_t>(ids, bytes.data());
  return bytes;
}

}  // namespace text

TokenFile::TokenFile(const fs::path& path) : file_(path) {
  const auto refuse = [&](const std::string& reason) {
    throw DataError("'" + path.string() + "' is not a token file of this program", reason, "remove it");
  };
  const std::size_t bytes = file_.bytes().size();
  text::TokenFileHeader header;
  const text::TokenFileHeader expected;
  if (bytes < sizeof header) refuse("it has only " + std::to_string(bytes) + " bytes");
  std::memcpy(&header, file_.bytes().data(), sizeof header);
  if (header.magic != expected.magic) refuse("its first bytes are others");
  if (header.version != expected.version) refuse("its version is " + std::to_string(header.version));
  if (header.bytes_per_id != 2 && header.bytes_per_id != 4) refuse("its ids are neither 2 nor 4 bytes wide");
  if ((bytes - sizeof header) % header.bytes_per_id != 0 ||
      (bytes - sizeof header) / header.bytes_per_id != header.ids) {
    refuse("it has another size than its header says");
  }
  size_ = header.ids;
  documents_ = header.documents;
  bytes_per_id_ = header.bytes_per_id;
  key_.assign(header.key.begin(), header.key.end());
  ids_sha256_.assign(header.ids_sha256.begin(), header.ids_sha256.end());
}

bool TokenFile::intact() const {
  return sha256_hex(file_.bytes().subspan(sizeof(text::TokenFileHeader))) == ids_sha256_;
}

bool TokenFile::ids_below(std::uint64_t bound) const {
  std::uint32_t largest = 0;
  const std::byte* data = file_.bytes().data() + sizeof(text::TokenFileHeader);
  for (std::uint64_t i = 0; i < size_; ++i) {
    std::uint32_t value = 0;
    std::memcpy(&value, data + i * bytes_per_id_, bytes_per_id_);
    largest = std::max(largest, value);
  }
  return size_ == 0 || largest < bound;
}

void TokenFile::read(std::uint64_t begin, std::span<std::int64_t> out) const {
  if (begin > size_ || out.size() > size_ - begin) {
    throw DataError("token file '" + file_.path().string() + "' has no ids " + std::to_string(begin) + " to " +
                        std::to_string(begin + out.size()),
                    "it has " + std::to_string(size_));
  }
  const std::byte* data = file_.bytes().data() + sizeof(text::TokenFileHeader) + begin * bytes_per_id_;
  for (std::int64_t& id : out) {
    std::uint32_t value = 0;
    std::memcpy(&value, data, bytes_per_id_);  // little endian, as every machine with LibTorch is
    id = value;
    data += bytes_per_id_;
  }
}

}  // namespace tercet
