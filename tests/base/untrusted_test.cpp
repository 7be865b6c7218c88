// The tools for what comes from outside: bounded JSON, text for a terminal, files that are no files.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/base/utf8.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

std::string refusal(const std::string& text, const JsonRules& rules = {}) {
  try {
    parse_strict_json(text, "here.json", rules);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(StrictJson, RefusesNestingThatWouldOverflowTheStackOfALaterCopy) {
  EXPECT_EQ(refusal(std::string(32, '[') + std::string(32, ']')), "");
  EXPECT_NE(refusal(std::string(33, '[') + std::string(33, ']')).find("nested deeper than 32"), std::string::npos);
  EXPECT_NE(refusal(std::string(5'000'000, '[')).find("here.json"), std::string::npos);
  EXPECT_EQ(refusal(std::string(33, '[') + std::string(33, ']'), {.deepest = 64}), "");
}

TEST(StrictJson, RefusesMoreValuesThanAnyFileHas) {
  std::string text = "[0";
  for (std::size_t i = 0; i < kMostJsonValues; ++i) text += ",0";
  EXPECT_NE(refusal(text + "]").find("8000000 values"), std::string::npos);
}

TEST(StrictJson, RefusesAKeyThatComesTwiceUnlessTold) {
  EXPECT_NE(refusal(R"({"a": 1, "b": {"a": 1}, "a": 2})").find("'a' appears twice"), std::string::npos);
  EXPECT_EQ(refusal(R"({"a": 1, "a": 2})", {.unique_keys = false}), "");
}

TEST(StrictJson, ReadsWhatTheLibraryReads) {
  for (const auto* text :
       {"7", "null", "[]", "{}", R"([[], {}, [1, -2, 3.5, true, null, "é\n"], {"a": [{"b": {}}, 2], "c": {}}])",
        R"({"x": {"y": [0, {"z": 1}]}, "a": [18446744073709551615]})"}) {
    EXPECT_EQ(parse_strict_json(text, "here.json"), nlohmann::json::parse(text)) << text;
  }
  EXPECT_EQ(parse_strict_json(R"({"a": {"b": 1}, "a": 2, "c": 3})", "here.json", {.unique_keys = false}),
            nlohmann::json::parse(R"({"a": 2, "c": 3})"));
  for (const auto* text : {"", "[1,", "{\"a\" 1}", "[1] 2", "\"\xff\"", "1e999"}) {
    EXPECT_NE(refusal(text).find("not valid JSON"), std::string::npos) << text;
  }
}

// The library's own parser that can be asked at every event takes minutes for these.
TEST(StrictJson, TakesNoQuadraticTimeForManyObjects) {
  std::string text = "[{}";
  for (int i = 0; i < 1'000'000; ++i) text += ",{}";
  EXPECT_EQ(parse_strict_json(text + "]", "here.json").size(), 1'000'001u);
}

TEST(StrictJson, TakesNoFractionHugeOrNegativeNumberForACount) {
  EXPECT_EQ(json_integer(7, "n", "here", 0, 7), 7);
  for (const auto* text : {"8", "-1", "1.0", "1e300", "18446744073709551615", "\"7\"", "null", "[7]"}) {
    EXPECT_THROW(json_integer(nlohmann::json::parse(text), "n", "here", 0, 7), DataError) << text;
  }
}

TEST(Printable, ShowsNoControlCharactersAndNoEnd) {
  EXPECT_EQ(printable("plain é\n\ttext", 100), "plain é\n\ttext");
  EXPECT_EQ(printable("\x1b[2Jgone\r\x7f", 100), "\\x1b[2Jgone\\x0d\\x7f");
  EXPECT_EQ(printable("\xC2\x9B", 100), "\\x9b") << "the terminal's other way to begin a command";
  EXPECT_EQ(printable("bad \xff byte", 100), "bad \xEF\xBF\xBD byte");
  EXPECT_EQ(printable("abcdef", 3), "abc ...");
  EXPECT_EQ(printable("abc", 3), "abc");
}

TEST(Printable, HoldsForEveryError) {
  const DataError error("tensor '\x1b]0;owned\x07' is malformed");
  EXPECT_STREQ(error.what(), "tensor '\\x1b]0;owned\\x07' is malformed");
  EXPECT_LT(std::string(DataError(std::string(1 << 20, 'x')).what()).size(), std::size_t{70'000});
}

TEST(MappedFiles, OfAPipeAreRefusedInsteadOfWaitedFor) {
  const auto pipe = fs::path(testing::TempDir()) / ("tercet-pipe-" + std::to_string(::getpid()));
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(MappedFile{pipe}, StoreError);
  EXPECT_THROW(MappedFile{"/dev/zero"}, StoreError);
  fs::remove(pipe);
}

class LinksInAFolder : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(model());
    write_file_atomically(root() / "secret", "mine");
  }
  void TearDown() override { fs::remove_all(root()); }
  static fs::path root() { return fs::path(testing::TempDir()) / ("tercet-links-" + std::to_string(::getpid())); }
  static fs::path model() { return root() / "snapshots" / "0123"; }
};

TEST_F(LinksInAFolder, AreCopiedOnlyWhereTheyStayInside) {
  write_file_atomically(model() / "own", "theirs");
  fs::create_symlink("own", model() / "again");
  fs::create_symlink("../../secret", model() / "out");
  const fs::path target = root() / "published";
  fs::create_directories(target);
  EXPECT_TRUE(copy_inside(model(), "again", target));
  EXPECT_FALSE(copy_inside(model(), "out", target));
  EXPECT_EQ(read_file(target / "again"), "theirs");
  EXPECT_FALSE(fs::exists(target / "out"));
  EXPECT_THROW(path_inside(model(), "out"), DataError);
  EXPECT_THROW(path_inside(model(), "../../secret"), DataError);
  EXPECT_THROW(path_inside(model(), (root() / "secret").string()), DataError);
}

TEST_F(LinksInAFolder, MayLeadToTheBlobsOfAHuggingFaceCache) {
  fs::create_directories(root() / "blobs");
  write_file_atomically(root() / "blobs" / "abc", "weights");
  fs::create_symlink("../../blobs/abc", model() / "model-00001.safetensors");
  EXPECT_EQ(read_file(path_inside(model(), "model-00001.safetensors")), "weights");
}

}  // namespace
}  // namespace tercet
