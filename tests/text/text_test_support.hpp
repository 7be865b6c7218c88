// Shared by the tests of the module text: scratch folders, the shared data, and a communicator of one rank.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/comm/communicator.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet::test {
namespace fs = std::filesystem;

// A folder that disappears with the object.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& name) {
    static int counter = 0;
    path_ = fs::temp_directory_path() /
            ("tercet-text-" + name + "-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
    fs::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const fs::path& path() const { return path_; }
  fs::path write(const std::string& name, const std::string& content) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

 private:
  fs::path path_;
};

// The shared data, or an empty path: TERCET_SHARED, else the folder beside the checkout.
inline fs::path shared_data() {
  const char* given = std::getenv("TERCET_SHARED");
  fs::path root = given != nullptr ? fs::path(given) : fs::path(__FILE__).parent_path() / "../../../shared";
  return fs::exists(root / "data/README.md") ? root / "data" : fs::path();
}

inline std::vector<std::int32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
}

// The text of the error that `action` throws; fails the test if it throws none of class E.
template <class E, class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error was thrown: " << error.what();
    return "";
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

// One rank, without MPI.
class SingleRank : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string backend() const override { return "self"; }
  void all_reduce(std::span<double>, Reduce) override {}
  void all_reduce(std::span<std::int64_t>, Reduce) override {}
  void broadcast(std::span<std::byte>, int) override {}
  std::vector<std::string> all_gather(std::string_view mine) override { return {std::string(mine)}; }
  void barrier() override {}
  void all_reduce(at::Tensor, Reduce) override {}
  void broadcast(at::Tensor, int) override {}
  std::unique_ptr<Work> start_all_reduce(at::Tensor, Reduce) override { return nullptr; }
  [[noreturn]] void abort(int exit_code) override { std::_Exit(exit_code); }
};

}  // namespace tercet::test
