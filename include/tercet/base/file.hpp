// Files: memory-mapped reading, bounded reading, and publication by rename, so that a reader never sees half a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace tercet {

// A file descriptor that closes itself; valid() is false, and errno says why, when the file could not be opened.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags, unsigned mode = 0644);  // open(2), with O_CLOEXEC
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

// A whole file mapped read-only. Move-only. An empty file gives an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);  // throws StoreError
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Reads a file of at most `limit` bytes (untrusted input has a bound). Throws StoreError when it cannot be read,
// DataError when it is larger.
std::string read_file(const std::filesystem::path& path, std::uintmax_t limit = std::uintmax_t{1} << 30);

// Writes to a temporary name beside `path`, fsyncs, renames, fsyncs the folder. Throws StoreError; the old file stays.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// The same without fsync: a reader never sees half a file, but after a crash of the machine it may be gone or empty.
void replace_file(const std::filesystem::path& path, std::string_view content);

// Makes a folder and those above it, where they are not there. Throws StoreError with `hint`.
void make_folder(const std::filesystem::path& folder, const std::string& hint = "");

// fsync of a file or folder. Throws StoreError.
void sync_path(const std::filesystem::path& path);

// Fsyncs everything in `staged`, renames it to `target` (which must not exist) and fsyncs the parent. Throws
// StoreError.
void publish_directory(const std::filesystem::path& staged, const std::filesystem::path& target);

// Whether no link on the way of `relative` leads out of `folder` (a snapshot of a Hugging Face cache may link its
// blobs).
bool stays_inside(const std::filesystem::path& folder, const std::filesystem::path& relative);

// Copies a file that nobody has looked into, unless it is a link out of `folder` (false): that could carry a file of
// the user's into what is published. Through write_file_atomically, so without the source's write protection.
bool copy_inside(const std::filesystem::path& folder, const std::string& name, const std::filesystem::path& target);

// Resolves `name` inside `folder`; throws DataError if it is absolute, has "..", or a link leads out of the folder.
std::filesystem::path path_inside(const std::filesystem::path& folder, const std::string& name);

// Bytes free for this user on the file system of `path` (or of its nearest existing parent).
std::uintmax_t free_space(const std::filesystem::path& path);

}  // namespace tercet
