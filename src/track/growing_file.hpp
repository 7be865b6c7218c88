// A file that is written from its beginning, each append at once and whole: what reads along sees no gaps.
#pragma once

#include <filesystem>
#include <string_view>

#include "tercet/base/file.hpp"

namespace tercet::track {

class GrowingFile {
 public:
  explicit GrowingFile(const std::filesystem::path& path);  // with its folder; throws StoreError
  void append(std::string_view bytes);                      // throws StoreError

 private:
  std::filesystem::path path_;
  Descriptor file_;
};

}  // namespace tercet::track
