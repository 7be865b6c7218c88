// model.gguf as the independent check reads it: the container and its blocks, from their documentation alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tercet/base/file.hpp"

namespace tercet::gguf_check {

struct TensorEntry {
  std::vector<std::uint64_t> sizes;  // fastest first
  std::uint32_t type = 0;            // one of those that block_of knows
  std::uint64_t offset = 0;          // in data()
};

struct Block {
  const char* name = "";
  std::uint64_t values = 1, bytes = 0;  // bytes 0: not a type of ours
  std::uint64_t scale_at = 0;           // where d stands in a block of several values
  bool has_scale() const { return values > 1; }
};
Block block_of(std::uint32_t type);
float scale(std::uint32_t type, const std::uint8_t* block);                     // d of a block that has one
float element(std::uint32_t type, const std::uint8_t* block, std::uint64_t n);  // number n of one block

// Throws DataError for whatever is not sound: every length is held against what is left of the file, and the data of
// the tensors lies one behind the other, each at a multiple of 32, up to the end.
class Container {
 public:
  explicit Container(const std::filesystem::path& path);

  std::map<std::string, double> numbers;
  std::map<std::string, std::string> texts;
  std::map<std::string, std::vector<std::string>> lists;  // of texts
  std::map<std::string, std::vector<double>> rows;        // of numbers
  std::map<std::string, TensorEntry> tensors;
  std::string_view data() const { return data_; }

 private:
  [[noreturn]] void fail(const std::string& reason) const;
  std::string_view take(std::uint64_t count);
  template <typename Number>
  Number number();
  std::string text();
  double scalar(std::uint32_t type);
  void read_value(const std::string& key, std::uint32_t type);
  void read_tensor();
  std::uint64_t bytes_of(const std::string& name, const TensorEntry& entry) const;
  void check_extents() const;

  MappedFile file_;
  std::string_view rest_, data_;
};

}  // namespace tercet::gguf_check
