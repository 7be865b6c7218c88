#include "track/growing_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tercet/base/error.hpp"

namespace tercet::track {
namespace fs = std::filesystem;

namespace {

fs::path with_folder(const fs::path& path) {
  make_folder(path.parent_path());
  return path;
}

}  // namespace

GrowingFile::GrowingFile(const fs::path& path)
    : path_(with_folder(path)), file_(path_, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND) {
  if (!file_.valid()) throw StoreError("cannot write '" + path_.string() + "'", std::strerror(errno));
}

void GrowingFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw StoreError("cannot write '" + path_.string() + "'", std::strerror(errno));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace tercet::track
