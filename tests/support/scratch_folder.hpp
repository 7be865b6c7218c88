// A folder of a test's own, and what tests do to files: write them as they are, and damage them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tercet/base/file.hpp"

namespace tercet::test {

// Throws, rather than failing the test, so that it may be called anywhere.
inline void write_text_file(const std::filesystem::path& file, const std::string& text, bool append = false) {
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  std::ofstream stream(file, std::ios::binary | (append ? std::ios::app : std::ios::trunc));
  stream << text;
  if (!stream.flush()) throw std::runtime_error("a test cannot write " + file.string());
}

inline void flip_bit(const std::filesystem::path& file, std::uintmax_t offset) {
  std::string bytes = read_file(file);
  bytes.at(offset) = static_cast<char>(bytes.at(offset) ^ 0x10);
  write_text_file(file, bytes);
}

// New and empty; removed with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tercet-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("a test cannot make the folder " + pattern);
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::filesystem::path write(const std::string& name, const std::string& content) const {
    write_text_file(path_ / name, content);
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace tercet::test
