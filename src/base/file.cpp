#include "tercet/base/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

StoreError io_error(const std::string& what, const fs::path& path, const std::string& hint = "") {
  return StoreError(what + " '" + path.string() + "'", std::strerror(errno), hint);
}

constexpr std::size_t kWriteBytes = std::size_t{16} << 20;  // of one call, so that a slow disk shows signs of life

void write_all(int fd, std::string_view content, const fs::path& path) {
  while (!content.empty()) {
    heartbeat::beat();
    const ssize_t written = ::write(fd, content.data(), std::min(content.size(), kWriteBytes));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw io_error("cannot write", path, "check free space and permissions");
    content.remove_prefix(static_cast<std::size_t>(written));
  }
}

void write_staged(const fs::path& path, std::string_view content, bool durable) {
  static std::atomic<unsigned> counter{0};
  const fs::path staged =
      path.string() + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1));
  try {
    {
      Descriptor file(staged, O_WRONLY | O_CREAT | O_TRUNC);
      if (!file.valid()) throw io_error("cannot create", staged, "check that the folder exists and is writable");
      write_all(file.get(), content, staged);
      if (durable && ::fsync(file.get()) != 0) throw io_error("cannot fsync", staged);
    }
    if (::rename(staged.c_str(), path.c_str()) != 0) throw io_error("cannot publish", path);
  } catch (...) {
    ::unlink(staged.c_str());
    throw;
  }
}

std::size_t size_of(const Descriptor& file, const fs::path& path) {
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0) throw io_error("cannot open", path);
  if (!S_ISREG(status.st_mode)) throw StoreError("cannot read '" + path.string() + "'", "it is not a regular file");
  return static_cast<std::size_t>(status.st_size);
}

}  // namespace

Descriptor::Descriptor(const fs::path& path, int flags, unsigned mode)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, static_cast<mode_t>(mode))) {}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);  // a pipe would be waited for
  size_ = size_of(file, path);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) throw io_error("cannot map", path);
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept {
  *this = std::move(other);
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::string read_file(const fs::path& path, std::uintmax_t limit) {
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);
  const std::size_t size = size_of(file, path);
  if (size > limit) {
    throw DataError("'" + path.string() + "' is too large",
                    std::to_string(size) + " bytes, at most " + std::to_string(limit) + " are read");
  }
  // Not mapped: a file that is cut short meanwhile would end the process.
  std::string content(size, '\0');
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::read(file.get(), content.data() + filled, size - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw io_error("cannot read", path);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  content.resize(filled);
  return content;
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  write_staged(path, content, /*durable=*/true);
  sync_path(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

void replace_file(const fs::path& path, std::string_view content) {
  write_staged(path, content, /*durable=*/false);
}

void make_folder(const fs::path& folder, const std::string& hint) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw StoreError("cannot make '" + folder.string() + "'", error.message(), hint);
}

void sync_path(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  // Some file systems do not sync folders; that is the file system's promise, not a fault of the write.
  if (!file.valid() || (::fsync(file.get()) != 0 && errno != EINVAL)) throw io_error("cannot fsync", path);
}

void publish_directory(const fs::path& staged, const fs::path& target) {
  for (const auto& entry : fs::recursive_directory_iterator(staged)) {
    if (entry.is_regular_file() || entry.is_directory()) sync_path(entry.path());
  }
  sync_path(staged);
  if (fs::exists(fs::symlink_status(target))) {
    throw StoreError("cannot publish '" + target.string() + "'", "it exists already");
  }
  if (::rename(staged.c_str(), target.c_str()) != 0) throw io_error("cannot publish", target);
  sync_path(target.has_parent_path() ? target.parent_path() : fs::path("."));
}

bool stays_inside(const fs::path& folder, const fs::path& relative) {
  const fs::path root = fs::weakly_canonical(folder);
  const fs::path resolved = fs::weakly_canonical(folder / relative);
  const auto below = [&](const fs::path& place) {
    return std::mismatch(place.begin(), place.end(), resolved.begin(), resolved.end()).first == place.end();
  };
  // A snapshot in a Hugging Face cache consists of links to the blobs beside it.
  const fs::path parent = root.parent_path();
  return below(root) || (parent.filename() == "snapshots" && below(parent.parent_path() / "blobs"));
}

bool copy_inside(const fs::path& folder, const std::string& name, const fs::path& target) {
  if (!stays_inside(folder, name)) return false;
  write_file_atomically(target / name, MappedFile(folder / name).text());
  return true;
}

fs::path path_inside(const fs::path& folder, const std::string& name) {
  const auto refuse = [&](const std::string& reason) {
    return DataError("file name '" + name + "' in '" + folder.string() + "' is refused", reason,
                     "names must stay inside the model folder");
  };
  const fs::path relative(name);
  if (name.empty() || relative.is_absolute()) throw refuse("it is empty or absolute");
  for (const auto& part : relative) {
    if (part == "..") throw refuse("it contains '..'");
  }
  if (!stays_inside(folder, relative)) throw refuse("it leads out of the folder");
  return folder / relative;
}

std::uintmax_t free_space(const fs::path& path) {
  fs::path existing = fs::absolute(path);
  while (!fs::exists(existing) && existing.has_parent_path() && existing != existing.parent_path()) {
    existing = existing.parent_path();
  }
  std::error_code error;
  const auto space = fs::space(existing, error);
  if (error) throw StoreError("cannot read the free space of '" + existing.string() + "'", error.message());
  return space.available;
}

}  // namespace tercet
