#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/random.hpp"
#include "tercet/base/stop_signal.hpp"
#include "tercet/base/text.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("tercet-base-" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST(Error, message_reads_problem_reason_hint) {
  const DataError error("tensor 'w' is broken", "it has no shape", "write it again");
  EXPECT_STREQ(error.what(), "tensor 'w' is broken (it has no shape); write it again");
  EXPECT_EQ(error.exit_code(), ExitCode::kBadInput);
}

TEST(Hash, sha256_of_abc_is_the_published_one) {
  EXPECT_EQ(sha256_hex(std::string_view("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash64("abc"), 0xba7816bf8f01cfeaULL);
}

TEST_F(Files, written_atomically_are_read_back_and_leave_nothing_else) {
  write_file_atomically(folder_ / "a.txt", "one");
  write_file_atomically(folder_ / "a.txt", "two");
  EXPECT_EQ(read_file(folder_ / "a.txt"), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(Files, over_the_limit_or_absent_are_errors_that_name_them) {
  write_file_atomically(folder_ / "a.txt", "12345");
  EXPECT_THROW(read_file(folder_ / "a.txt", 4), DataError);
  EXPECT_THROW(read_file(folder_ / "b.txt"), StoreError);
  EXPECT_THROW(write_file_atomically(folder_ / "no" / "c.txt", "x"), StoreError);
}

TEST_F(Files, an_empty_file_maps_to_nothing) {
  write_file_atomically(folder_ / "empty", "");
  EXPECT_TRUE(MappedFile(folder_ / "empty").bytes().empty());
}

TEST_F(Files, names_that_leave_their_folder_are_refused) {
  fs::create_directories(folder_ / "in");
  fs::create_symlink("/etc", folder_ / "in" / "link");
  EXPECT_EQ(path_inside(folder_ / "in", "model.bin"), folder_ / "in" / "model.bin");
  for (const char* name : {"", "/etc/passwd", "../x", "a/../../x", "link/passwd"}) {
    EXPECT_THROW(path_inside(folder_ / "in", name), DataError) << name;
  }
}

TEST_F(Files, a_folder_is_published_once) {
  fs::create_directories(folder_ / "staged");
  write_file_atomically(folder_ / "staged" / "x", "1");
  publish_directory(folder_ / "staged", folder_ / "done");
  EXPECT_TRUE(fs::exists(folder_ / "done" / "x"));
  fs::create_directories(folder_ / "staged");
  EXPECT_THROW(publish_directory(folder_ / "staged", folder_ / "done"), StoreError);
}

TEST(Random, permutation_visits_every_index_once) {
  for (const std::uint64_t size : {1ULL, 2ULL, 7ULL, 64ULL, 1000ULL}) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < size; ++i) seen.insert(permuted_index(3, purpose_of("test"), size, i));
    EXPECT_EQ(seen.size(), size);
    EXPECT_LT(*seen.rbegin(), size);
  }
}

TEST(Random, draws_are_a_function_of_their_arguments_and_look_uniform) {
  EXPECT_EQ(random_bits(1, 2, 3), random_bits(1, 2, 3));
  EXPECT_NE(random_bits(1, 2, 3), random_bits(1, 2, 4));
  double sum = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) sum += random_uniform(9, purpose_of("test"), i);
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

TEST(Text, numbers_are_written_for_people) {
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1500000), "1.50 MB");
  EXPECT_EQ(format_count(2828736), "2 828 736");
  EXPECT_EQ(format_duration(65), "1 min 05 s");
  EXPECT_EQ(format_fixed(std::numeric_limits<double>::quiet_NaN(), 2), "nan");
}

TEST(Text, the_nearest_word_is_suggested_only_when_it_is_near) {
  EXPECT_EQ(nearest_word("optimiser", {"optimizer", "schedule"}), "optimizer");
  EXPECT_EQ(nearest_word("zebra", {"optimizer", "schedule"}), "");
}

TEST(StopSignal, is_remembered_instead_of_ending_the_process) {
  catch_stop_signals();
  EXPECT_FALSE(stop_requested());
  std::raise(SIGUSR1);
  EXPECT_TRUE(stop_requested());
}

}  // namespace
}  // namespace tercet
