// For *_mpi_test.cpp: a folder that rank 0 makes and removes and all ranks see.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "support/mpi_main.hpp"
#include "support/scratch_folder.hpp"

namespace tercet::test {

class SharedScratchFolder {
 public:
  // Collective.
  SharedScratchFolder() {
    if (world().is_root()) folder_ = std::make_unique<ScratchFolder>();
    path_ = broadcast_string(world(), folder_ ? folder_->path().string() : "");
  }
  // Collective: no rank needs the folder any more.
  ~SharedScratchFolder() { world().barrier(); }
  SharedScratchFolder(const SharedScratchFolder&) = delete;
  SharedScratchFolder& operator=(const SharedScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Collective: once it returns, every rank finds the file.
  void write(const std::string& name, const std::string& content) {
    if (folder_) folder_->write(name, content);
    world().barrier();
  }

 private:
  std::unique_ptr<ScratchFolder> folder_;
  std::filesystem::path path_;
};

}  // namespace tercet::test
