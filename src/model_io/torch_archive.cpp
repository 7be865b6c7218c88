#include "torch_archive.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>
#include <zlib.h>

#include <cstring>
#include <optional>

#include "dtype.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

constexpr std::uint64_t kMaxPickleBytes = 64'000'000;  // some 150 bytes a tensor
// PyTorch stores its records as they are. Other tools may have compressed them, which numbers hardly yield to; entries
// that overlap in the file could otherwise unpack to its square.
constexpr std::uint64_t kMostUnpacking = 8;
constexpr std::uint64_t kAlwaysUnpacked = 64 << 20;
constexpr std::uint64_t kMaxPadding = 4096;  // bytes of a record that belong to no element
constexpr std::string_view kZipMagic = "PK\x03\x04";
constexpr std::size_t kLocalHeaderBytes = 30;
// Of fields of a local header (APPNOTE 4.3.7). With this flag the sum is not there, but in a descriptor behind the
// record (4.3.9), which most writers begin with a signature.
constexpr std::size_t kFlagsOffset = 6, kMethodOffset = 8, kSumOffset = 14;
constexpr std::uint16_t kSumFollows = 1 << 3;
constexpr std::uint32_t kDescriptor = 0x08074b50;

std::string convert_hint(const std::string& file) {
  return "convert it with: python3 -c \"import torch; torch.save(torch.load('" + file + "'), '" + file +
         "')\" or save it as safetensors";
}

// LibTorch's messages end in stack traces; the first line says what is wrong.
std::string first_line(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.substr(0, text.find('\n'));
}

template <typename Number>
Number field(std::span<const std::byte> file, std::uint64_t offset) {
  Number value;
  std::memcpy(&value, file.data() + offset, sizeof(value));
  return value;
}

// Whether the record whose local header is at `offset` lies in the file as it is.
bool stored_plainly(std::span<const std::byte> file, std::uint64_t offset) {
  if (file.size() < kLocalHeaderBytes || offset > file.size() - kLocalHeaderBytes) return false;
  return std::memcmp(file.data() + offset, kZipMagic.data(), kZipMagic.size()) == 0 &&
         field<std::uint16_t>(file, offset + kMethodOffset) == 0;
}

// CRC-32 that the archive gives for a record; nullopt: it leads past the end of the file. LibTorch's own reader does
// not look at it.
std::optional<std::uint32_t> sum_of_record(std::span<const std::byte> file, std::uint64_t header, std::uint64_t end) {
  if ((field<std::uint16_t>(file, header + kFlagsOffset) & kSumFollows) == 0)
    return field<std::uint32_t>(file, header + kSumOffset);
  if (file.size() < 8 || end > file.size() - 8) return std::nullopt;
  const auto first = field<std::uint32_t>(file, end);
  return first == kDescriptor ? field<std::uint32_t>(file, end + 4) : first;
}

}  // namespace

TorchArchive::TorchArchive(const std::filesystem::path& file) : mapping_(std::make_shared<const MappedFile>(file)) {
  check_kind();
  try {
    reader_ = std::make_unique<caffe2::serialize::PyTorchStreamReader>(file.string());
    if (reader_->hasRecord("constants.pkl")) {
      throw DataError("'" + where() + "' is a TorchScript program", "only saved tensors are read",
                      "save the model's state_dict() with torch.save, or use safetensors");
    }
    if (reader_->hasRecord("byteorder") && record_text("byteorder", 16) != "little") {
      throw DataError("'" + where() + "' was written on a big-endian machine", "its numbers cannot be read here");
    }
    pickle_ = record_text("data.pkl", kMaxPickleBytes);
  } catch (const c10::Error& error) {
    throw DataError("'" + where() + "' cannot be read as a PyTorch file", first_line(error),
                    "it may be cut off or damaged");
  }
}

TorchArchive::~TorchArchive() = default;

void TorchArchive::check_kind() const {
  const std::string_view text = mapping_->text();
  if (text.starts_with(kZipMagic)) return;
  // Protocol 2, then LONG1 of ten bytes: the magic number of torch.save before 1.6.
  if (text.starts_with("\x80\x02\x8a\x0a")) {
    throw DataError("'" + where() + "' has PyTorch's old format (before 1.6)", "only the zip format is read",
                    convert_hint(where()));
  }
  throw DataError("'" + where() + "' is not a PyTorch file", "it does not start as a zip archive",
                  "it may be cut off, or a git-lfs pointer");
}

void TorchArchive::check_sums() {
  const auto file = mapping_->bytes();
  for (const std::string& record : reader_->getAllRecords()) {
    const std::uint64_t header = reader_->getRecordHeaderOffset(record);
    if (!stored_plainly(file, header)) continue;  // unpacking would fail
    const std::uint64_t begin = reader_->getRecordOffset(record), size = reader_->getRecordSize(record);
    const bool inside = begin <= file.size() && size <= file.size() - begin;
    const auto* bytes = reinterpret_cast<const Bytef*>(file.data() + begin);
    if (inside && sum_of_record(file, header, begin + size) == crc32_z(0, bytes, size)) continue;
    throw DataError("record '" + record + "' of '" + where() + "' is damaged",
                    "its bytes have another CRC-32 than the archive gives", "take the file from where it came");
  }
}

std::string TorchArchive::record_text(const std::string& name, std::uint64_t limit) {
  if (reader_->getRecordSize(name) > limit) {
    throw DataError("record '" + name + "' of '" + where() + "' is too large",
                    "at most " + std::to_string(limit) + " bytes are read");
  }
  const auto [data, size] = reader_->getRecord(name);
  return std::string(static_cast<const char*>(data.get()), size);
}

at::Tensor TorchArchive::storage(const std::string& key, c10::ScalarType type, std::int64_t elements) {
  const auto identity = std::make_pair(key, type);
  if (const auto found = storages_.find(identity); found != storages_.end()) {
    if (found->second.numel() != elements) {
      throw DataError("storage '" + key + "' of '" + where() + "' is malformed", "it is given two different sizes");
    }
    return found->second;
  }
  try {
    return storages_.emplace(identity, load("data/" + key, type, elements)).first->second;
  } catch (const c10::Error& error) {
    throw DataError("storage '" + key + "' of '" + where() + "' cannot be read", first_line(error),
                    "the file may be cut off or damaged");
  }
}

at::Tensor TorchArchive::load(const std::string& record, c10::ScalarType type, std::int64_t elements) {
  const auto fail = [&](const std::string& reason) {
    return DataError("record '" + record + "' of '" + where() + "' is malformed", reason,
                     "the file may be cut off or damaged");
  };
  const auto needed = checked_bytes({elements}, c10::elementSize(type));
  if (!needed) throw fail("its element count " + std::to_string(elements) + " is out of range");
  const std::uint64_t size = reader_->getRecordSize(record);
  if (size < *needed) throw fail("it has " + std::to_string(size) + " bytes of " + std::to_string(*needed));
  const auto file = mapping_->bytes();
  if (*needed > 0 && stored_plainly(file, reader_->getRecordHeaderOffset(record))) {
    const std::uint64_t offset = reader_->getRecordOffset(record);
    if (offset > file.size() || *needed > file.size() - offset) throw fail("it leads past the end of the file");
    if (offset % c10::elementSize(type) == 0) {
      const auto keep = [mapping = mapping_](void*) {};
      return at::from_blob(const_cast<std::byte*>(file.data() + offset), {elements}, keep, at::TensorOptions(type));
    }
  }
  if (size > *needed + kMaxPadding)
    throw fail("it has " + std::to_string(size) + " bytes for " + std::to_string(*needed));
  unpacked_ += size;
  if (unpacked_ > kAlwaysUnpacked && unpacked_ / kMostUnpacking > file.size()) {
    throw fail("the file unpacks to more than " + std::to_string(kMostUnpacking) + " times its size");
  }
  const auto [data, bytes] = reader_->getRecord(record);
  if (bytes < *needed) throw fail("it unpacks to too few bytes");
  at::Tensor copy = at::empty({elements}, type);
  if (*needed > 0) std::memcpy(copy.mutable_data_ptr(), data.get(), *needed);
  return copy;
}

}  // namespace tercet
