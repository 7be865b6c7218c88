#include "tercet/model_io/weights.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>

#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "support/shared_data.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

using nlohmann::json;
using test::message_of;
using test::ScratchFolder;
using test::write_text_file;

// A safetensors file as its bytes, from any header and data.
std::string raw_file(const std::string& header, std::size_t data_bytes) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, '\x01');
}

json entry(const std::string& dtype, const json& shape, std::uint64_t begin, std::uint64_t end) {
  return {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {begin, end}}};
}

std::string refusal_of(const std::string& bytes) {
  const ScratchFolder folder;
  write_text_file(folder / "model.safetensors", bytes);
  const std::string message = message_of<DataError>([&] { open_weights(folder.path()); });
  EXPECT_MENTIONS(message, "model.safetensors");
  return message;
}

NamedTensors some_tensors() {
  return {{"bytes", at::arange(5, at::kByte)},
          {"half", at::arange(6, at::kHalf).reshape({2, 3})},
          {"float", at::arange(4, at::kFloat).reshape({2, 2}).t()},
          {"long", at::arange(3, at::kLong)},
          {"brain", at::ones({2}, at::kBFloat16)},
          {"empty", at::zeros({0, 3}, at::kFloat)},
          {"scalar", at::ones({}, at::kFloat)},
          {"signed", at::arange(3, at::kChar)}};
}

TEST(Safetensors, ReadsBackWhatItWrites) {
  const ScratchFolder folder;
  write_safetensors(folder / "model.safetensors", some_tensors(), {{"note", "test"}});
  const auto weights = open_weights(folder.path());
  EXPECT_EQ(weights->tensors().size(), some_tensors().size());
  EXPECT_EQ(weights->tensors().at("half").dtype, "F16");
  EXPECT_EQ(weights->tensors().at("half").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(weights->bytes(), std::filesystem::file_size(folder / "model.safetensors"));
  for (const auto& [name, tensor] : some_tensors()) {
    EXPECT_EQ(weights->tensor(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(weights->tensor(name), tensor)) << name;
  }
}

TEST(Safetensors, WritesTheSameBytesTwiceAndAlignsEveryTensor) {
  const ScratchFolder folder;
  write_safetensors(folder / "a.safetensors", some_tensors());
  write_safetensors(folder / "b.safetensors", some_tensors());
  const std::string bytes = read_file(folder / "a.safetensors");
  EXPECT_EQ(bytes, read_file(folder / "b.safetensors"));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0);
  const json header = json::parse(bytes.substr(8, length));
  EXPECT_EQ(header["__metadata__"]["format"], "pt");
  EXPECT_EQ(header["long"]["data_offsets"][0], 0) << "the widest elements come first";
  EXPECT_EQ(header["float"]["data_offsets"][0].get<int>() % 4, 0);
  EXPECT_EQ(header["half"]["data_offsets"][0].get<int>() % 2, 0);
}

TEST(Safetensors, BeginsTheDataAtAMultipleOfWhatIsAskedFor) {
  const ScratchFolder folder;
  for (const std::string note : {"", "a", "twelve bytes", "some more bytes than that"}) {
    write_safetensors(folder / "a.safetensors", {{"line", at::arange(64, at::kByte)}}, {{"note", note}}, {}, 64);
    const auto weights = open_safetensors(folder / "a.safetensors");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weights->tensor("line").const_data_ptr()) % 64, 0) << note;
    EXPECT_TRUE(at::equal(weights->tensor("line"), at::arange(64, at::kByte)));
    EXPECT_EQ(weights->bytes(), safetensors_bytes({{"line", at::arange(64, at::kByte)}}, {{"note", note}}, 64));
    EXPECT_EQ(safetensors_metadata(folder / "a.safetensors").at("note"), note);
  }
}

TEST(Safetensors, RefusesToWriteOneNameTwice) {
  const ScratchFolder folder;
  const NamedTensors twice = {{"a", at::ones({1})}, {"a", at::ones({1})}};
  EXPECT_MENTIONS(message_of<DataError>([&] { write_safetensors(folder / "x", twice); }), "'a'");
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
}

TEST(Safetensors, LeavesNothingBehindWhereItCannotWrite) {
  EXPECT_THROW(write_safetensors("/nowhere/at/all/model.safetensors", some_tensors()), StoreError);
}

TEST(Safetensors, KeepsTheMappingAliveForItsTensors) {
  const ScratchFolder folder;
  write_safetensors(folder / "model.safetensors", some_tensors());
  at::Tensor kept = open_weights(folder.path())->tensor("half");
  EXPECT_TRUE(at::equal(kept, some_tensors()[1].second));
}

TEST(Safetensors, CopiesATensorThatIsNotAligned) {
  const ScratchFolder folder;
  const json header = {{"a", entry("U8", {1}, 0, 1)}, {"b", entry("F32", {2}, 1, 9)}};
  write_text_file(folder / "model.safetensors", raw_file(header.dump(), 9));
  const at::Tensor b = open_weights(folder.path())->tensor("b");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.const_data_ptr()) % 4, 0);
  EXPECT_EQ(b.view(at::kInt).select(0, 1).item<int>(), 0x01010101);
}

TEST(Safetensors, RefusesEveryTruncation) {
  const ScratchFolder folder;
  write_safetensors(folder / "model.safetensors", some_tensors());
  const std::string whole = read_file(folder / "model.safetensors");
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{9}, whole.size() / 2, whole.size() - 1}) {
    refusal_of(whole.substr(0, size));
  }
  refusal_of(whole + "x");
}

TEST(Safetensors, RefusesHeadersOutOfBounds) {
  std::string bytes = raw_file("{}", 0);
  const std::uint64_t huge = ~0ULL;
  std::memcpy(bytes.data(), &huge, 8);
  EXPECT_MENTIONS(refusal_of(bytes), "header");
  const std::uint64_t beyond = 3;
  std::memcpy(bytes.data(), &beyond, 8);
  EXPECT_MENTIONS(refusal_of(bytes), "does not fit");
  EXPECT_MENTIONS(refusal_of(raw_file(" {}", 0)), "'{'");
  EXPECT_MENTIONS(refusal_of(raw_file("{\"a\":", 0)), "JSON");
  EXPECT_MENTIONS(refusal_of(raw_file("{\"\xff\":1}", 0)), "JSON");
  EXPECT_MENTIONS(refusal_of(raw_file("{\"a\":" + std::string(100'000, '['), 0)), "nested");
}

TEST(Safetensors, RefusesDataThatIsNotCoveredExactly) {
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", entry("U8", {4}, 0, 4)}, {"b", entry("U8", {4}, 2, 6)}}.dump(), 6)),
                  "overlaps");
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", entry("U8", {2}, 0, 2)}, {"b", entry("U8", {2}, 4, 6)}}.dump(), 6)),
                  "hole");
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", entry("U8", {2}, 0, 2)}}.dump(), 6)), "4 bytes");
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", entry("U8", {2}, 2, 0)}}.dump(), 2)), "before it begins");
}

TEST(Safetensors, RefusesEntriesThatContradictThemselves) {
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", entry("F32", {2}, 0, 4)}}.dump(), 4)), "needs 8 bytes");
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", entry("Q7", {2}, 0, 4)}}.dump(), 4)), "'Q7'");
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", entry("U8", {-2}, 0, 4)}}.dump(), 4)), "'a'");
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", entry("U8", "4", 0, 4)}}.dump(), 4)), "shape");
  EXPECT_MENTIONS(refusal_of(raw_file(json{{"a", {{"dtype", "U8"}, {"shape", {4}}}}}.dump(), 4)), "data_offsets");
  EXPECT_MENTIONS(refusal_of(raw_file(R"({"a":7})", 0)), "'a'");
  const json huge = {{"a", entry("F32", {1ULL << 62, 4}, 0, 4)}};
  EXPECT_MENTIONS(refusal_of(raw_file(huge.dump(), 4)), "overflows");
  const json many = {{"a", entry("U8", std::vector<int>(17, 1), 0, 1)}};
  EXPECT_MENTIONS(refusal_of(raw_file(many.dump(), 1)), "16 dimensions");
}

TEST(Safetensors, RefusesOneNameTwiceAndMetadataThatIsNoText) {
  const std::string one = entry("U8", {1}, 0, 1).dump();
  EXPECT_MENTIONS(refusal_of(raw_file("{\"a\":" + one + ",\"a\":" + one + "}", 1)), "twice");
  EXPECT_MENTIONS(refusal_of(raw_file(R"({"__metadata__":{"step":3}})", 0)), "'step'");
}

TEST(Weights, NamesATensorThatIsMissing) {
  const ScratchFolder folder;
  write_safetensors(folder / "model.safetensors", some_tensors());
  const auto weights = open_weights(folder.path());
  EXPECT_MENTIONS(message_of<DataError>([&] { weights->tensor("lm_head.weight"); }), "'lm_head.weight'");
}

TEST(Weights, ListsWhatItLookedFor) {
  const ScratchFolder folder;
  const std::string message = message_of<DataError>([&] { open_weights(folder.path()); });
  for (const std::string name : {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"}) {
    EXPECT_MENTIONS(message, name);
  }
}

class ShardedWeightsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_safetensors(folder_ / "one.safetensors", {{"a", at::ones({2})}});
    write_safetensors(folder_ / "two.safetensors", {{"b", at::zeros({3})}});
  }
  std::string refused(const json& map) {
    index(map);
    return message_of<DataError>([&] { open_weights(folder_.path()); });
  }
  void index(const json& map) {
    const json object = {{"metadata", {{"total_size", 20}}}, {"weight_map", map}};
    write_text_file(folder_ / "model.safetensors.index.json", object.dump());
  }
  ScratchFolder folder_;
};

TEST_F(ShardedWeightsTest, FindsEachTensorInItsFile) {
  index({{"a", "one.safetensors"}, {"b", "two.safetensors"}});
  const auto weights = open_weights(folder_.path());
  EXPECT_TRUE(at::equal(weights->tensor("b"), at::zeros({3})));
  EXPECT_EQ(weights->files().size(), 2);
  EXPECT_EQ(weights->bytes(), std::filesystem::file_size(folder_ / "one.safetensors") +
                                  std::filesystem::file_size(folder_ / "two.safetensors"));
  EXPECT_MENTIONS(message_of<DataError>([&] { weights->tensor("c"); }), "'c'");
}

TEST_F(ShardedWeightsTest, RefusesAnIndexThatDoesNotFitItsFiles) {
  EXPECT_MENTIONS(refused({{"a", "one.safetensors"}, {"b", "one.safetensors"}}), "'b'");
  EXPECT_MENTIONS(refused({{"a", "one.safetensors"}, {"b", "three.safetensors"}}), "three.safetensors");
  write_safetensors(folder_ / "two.safetensors", {{"b", at::zeros({3})}, {"stray", at::zeros({3})}});
  EXPECT_MENTIONS(refused({{"a", "one.safetensors"}, {"b", "two.safetensors"}}), "'stray'");
  EXPECT_MENTIONS(refused({{"a", 7}}), "'a'");
  EXPECT_MENTIONS(refused(json::array()), "weight_map");
}

TEST_F(ShardedWeightsTest, NeverLeavesTheFolder) {
  const ScratchFolder outside;
  write_safetensors(outside / "secret.safetensors", {{"a", at::ones({2})}});
  EXPECT_MENTIONS(refused({{"a", (outside / "secret.safetensors").string()}}), "refused");
  EXPECT_MENTIONS(refused({{"a", "../" + outside.path().filename().string() + "/secret.safetensors"}}), "'..'");
  std::filesystem::create_symlink(outside / "secret.safetensors", folder_ / "link.safetensors");
  EXPECT_MENTIONS(refused({{"a", "link.safetensors"}}), "leads out");
}

TEST(Weights, ReadsTheRealModels) {
  if (!std::filesystem::exists(test::shared_data() / "models")) GTEST_SKIP() << "shared data is not here";
  std::int64_t elements = 0;
  const auto weights = open_weights(test::shared_data() / "models" / "stories260K" / "hf");
  for (const auto& [name, info] : weights->tensors()) elements += weights->tensor(name).numel();
  EXPECT_EQ(elements, 260'032);
}

}  // namespace
}  // namespace tercet
