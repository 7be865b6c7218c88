// A file written piece by piece under a temporary name and published by rename, so that a reader never sees half of it
// and a large one never has to be in memory twice.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace tercet {

class StagedFile {
 public:
  explicit StagedFile(const std::filesystem::path& target);  // throws StoreError
  ~StagedFile();                                             // removes what was not published
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;

  void write(const void* data, std::size_t size);  // throws StoreError
  void write(std::string_view text) { write(text.data(), text.size()); }
  void publish();  // fsync, rename, fsync of the folder; throws StoreError

 private:
  std::filesystem::path target_;
  std::filesystem::path staged_;
  int descriptor_ = -1;
};

}  // namespace tercet
