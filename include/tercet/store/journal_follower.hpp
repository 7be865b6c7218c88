// Reads a journal that is still written, or was cut off, or is damaged, or has any size, within bounds: what grew since
// the last look, and of a long journal only its beginning and its end. Writes nothing and takes no lock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tercet/store/run_file.hpp"

namespace tercet {

class JournalFollower {
 public:
  struct Bounds {
    std::uint64_t head = std::uint64_t{4} << 20;  // bytes read of the beginning
    std::uint64_t tail = std::uint64_t{8} << 20;  // and of the end, where there is more
  };
  explicit JournalFollower(std::filesystem::path journal);
  JournalFollower(std::filesystem::path journal, Bounds bounds);

  // The records of the complete lines that are new; metrics in the order of writing. A line that is no record is passed
  // over and counted. Throws StoreError when the file cannot be read. A journal that is another file than before, or
  // shorter than what was read of it, is read anew.
  RunRecord read();

  bool began_anew() const { return began_anew_; }           // the last read gave the records from the beginning
  std::uint64_t read_bytes() const { return read_; }        // since then
  std::uint64_t skipped_bytes() const { return skipped_; }  // between beginning and end
  std::uint64_t damaged_lines() const { return damaged_; }

 private:
  void take(std::uint64_t begin, std::uint64_t end, int file, RunRecord& run);
  void take_line(RunRecord& run);

  std::filesystem::path path_;
  Bounds bounds_;
  std::uint64_t position_ = 0, read_ = 0, skipped_ = 0, damaged_ = 0;
  std::uint64_t file_ = 0;  // its inode
  bool began_anew_ = false;
  std::string line_;
  bool passing_over_ = false;  // the rest of a line whose beginning was not read, or that is too long
};

}  // namespace tercet
