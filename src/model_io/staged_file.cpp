#include "tercet/model_io/staged_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet {
namespace {

constexpr std::size_t kWriteBytes = std::size_t{16} << 20;  // of one call, so that a slow disk shows signs of life

}  // namespace

StagedFile::StagedFile(const std::filesystem::path& target) : target_(target) {
  static std::atomic<unsigned> counter{0};
  staged_ = target.string() + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1));
  descriptor_ = ::open(staged_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    throw StoreError("cannot create '" + staged_.string() + "'", std::strerror(errno),
                     "check that the folder exists and is writable");
  }
}

StagedFile::~StagedFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(staged_.c_str());
}

void StagedFile::write(const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    heartbeat::beat();
    const ssize_t written = ::write(descriptor_, next, std::min(size, kWriteBytes));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      throw StoreError("cannot write '" + target_.string() + "'", std::strerror(errno),
                       "check free space and permissions");
    }
    next += written;
    size -= static_cast<std::size_t>(written);
  }
}

void StagedFile::publish() {
  if (::fsync(descriptor_) != 0 || ::rename(staged_.c_str(), target_.c_str()) != 0) {
    throw StoreError("cannot publish '" + target_.string() + "'", std::strerror(errno));
  }
  ::close(descriptor_);
  descriptor_ = -1;
  sync_path(target_.has_parent_path() ? target_.parent_path() : std::filesystem::path("."));
}

}  // namespace tercet
