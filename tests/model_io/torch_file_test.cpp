#include "tercet/model_io/torch_file.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <sys/resource.h>

#include <csignal>

#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet {
namespace {

using test::message_of;
using test::ScratchFolder;

const at::Tensor& tensor_of(const TorchValue& dict, const std::string& key) {
  return std::get<at::Tensor>(torch_entry(std::get<TorchDict>(dict), key, "test"));
}

TorchDict some_values() {
  const at::Tensor embedding = at::arange(12, at::kHalf).reshape({4, 3});
  return {{"embedding", embedding},
          {"head", embedding},
          {"transposed", embedding.t()},
          {"slice", at::arange(1000, at::kFloat).slice(0, 10, 14)},
          {"codes", at::arange(5, at::kByte)},
          {"signed", at::arange(5, at::kChar)},
          {"brain", at::ones({2, 2}, at::kBFloat16)},
          {"long", at::arange(3, at::kLong)},
          {"mask", at::ones({2}, at::kBool)},
          {"empty", at::zeros({0, 4}, at::kFloat)},
          {"scalar", at::ones({}, at::kDouble)},
          {"nested", TorchDict{{"none", std::monostate{}},
                               {"yes", true},
                               {"numbers", TorchList{std::int64_t{7}, std::int64_t{-1}, std::int64_t{60000},
                                                     std::int64_t{1} << 40, 2.5}},
                               {"text", std::string("grün")},
                               {"nothing", TorchDict{}}}}};
}

TEST(TorchFile, ReadsBackWhatItWrites) {
  const ScratchFolder folder;
  write_torch_file(folder / "a.pt", some_values());
  const TorchValue read = read_torch_file(folder / "a.pt");
  for (const auto& [key, value] : some_values()) {
    const auto* tensor = std::get_if<at::Tensor>(&value);
    if (tensor == nullptr) continue;
    EXPECT_EQ(tensor_of(read, key).scalar_type(), tensor->scalar_type()) << key;
    EXPECT_TRUE(at::equal(tensor_of(read, key), *tensor)) << key;
  }
  const auto& nested = std::get<TorchDict>(torch_entry(std::get<TorchDict>(read), "nested", "test"));
  EXPECT_EQ(std::get<std::string>(torch_entry(nested, "text", "test")), "grün");
  EXPECT_TRUE(std::get<bool>(torch_entry(nested, "yes", "test")));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(torch_entry(nested, "none", "test")));
  const auto& numbers = std::get<TorchList>(torch_entry(nested, "numbers", "test"));
  EXPECT_EQ(std::get<std::int64_t>(numbers[1]), -1);
  EXPECT_EQ(std::get<std::int64_t>(numbers[3]), std::int64_t{1} << 40);
  EXPECT_DOUBLE_EQ(std::get<double>(numbers[4]), 2.5);
}

TEST(TorchFile, KeepsTiedTensorsSharedAndWritesSlicesCompactly) {
  const ScratchFolder folder;
  write_torch_file(folder / "a.pt", some_values());
  const TorchValue read = read_torch_file(folder / "a.pt");
  EXPECT_EQ(tensor_of(read, "embedding").const_data_ptr(), tensor_of(read, "head").const_data_ptr());
  EXPECT_EQ(tensor_of(read, "transposed").const_data_ptr(), tensor_of(read, "head").const_data_ptr());
  EXPECT_EQ(tensor_of(read, "slice").storage().nbytes(), 4 * sizeof(float));
}

TEST(TorchFile, WritesTheSameBytesTwice) {
  const ScratchFolder folder;
  write_torch_file(folder / "a.pt", some_values());
  write_torch_file(folder / "b.pt", some_values());
  EXPECT_EQ(read_file(folder / "a.pt"), read_file(folder / "b.pt"));
}

TEST(TorchFile, CostsFewBytesPerTensor) {
  const ScratchFolder folder;
  TorchDict many;
  for (int i = 0; i < 200; ++i) many.emplace_back("model.layers." + std::to_string(i), at::zeros({64}, at::kByte));
  write_torch_file(folder / "a.pt", many);
  // 64 bytes of numbers, about 130 of zip headers and 70 of pickle.
  EXPECT_LT(std::filesystem::file_size(folder / "a.pt"), 200 * 380);
}

TEST(TorchFile, TensorsOutliveTheReader) {
  const ScratchFolder folder;
  write_torch_file(folder / "a.pt", some_values());
  const at::Tensor kept = tensor_of(read_torch_file(folder / "a.pt"), "embedding");
  std::filesystem::remove(folder / "a.pt");
  EXPECT_TRUE(at::equal(kept, at::arange(12, at::kHalf).reshape({4, 3})));
}

TEST(TorchFile, RefusesEveryTruncation) {
  const ScratchFolder folder;
  write_torch_file(folder / "a.pt", some_values());
  const std::string whole = read_file(folder / "a.pt");
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{40}, whole.size() / 2, whole.size() - 1}) {
    test::write_text_file(folder / "cut.pt", whole.substr(0, size));
    EXPECT_MENTIONS(message_of<DataError>([&] { read_torch_file(folder / "cut.pt"); }), "cut.pt");
  }
}

TEST(TorchFile, KnowsEveryByteOfItsRecordsByTheArchivesSums) {
  const ScratchFolder folder;
  const auto file = folder / "a.pt";
  write_torch_file(file, some_values());
  EXPECT_NO_THROW(check_torch_file(file));
  const std::string whole = read_file(file);
  const at::Tensor tensor = std::get<at::Tensor>(torch_entry(some_values(), "embedding", "test")).contiguous();
  const std::string bytes(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  const std::size_t place = whole.find(bytes);
  ASSERT_NE(place, std::string::npos);
  for (const std::size_t offset : {std::size_t{0}, bytes.size() - 1}) {
    std::string damaged = whole;
    damaged[place + offset] = static_cast<char>(damaged[place + offset] ^ 1);
    write_file_atomically(file, damaged);
    EXPECT_NO_THROW(read_torch_file(file)) << "a tensor may have any bits";
    EXPECT_MENTIONS(test::message_of<DataError>([&] { check_torch_file(file); }), "another CRC-32");
  }
}

TEST(TorchFile, TellsHowToConvertTheOldFormat) {
  const ScratchFolder folder;
  test::write_text_file(folder / "old.bin",
                        std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15));
  const std::string message = message_of<DataError>([&] { read_torch_file(folder / "old.bin"); });
  EXPECT_MENTIONS(message, "before 1.6");
  EXPECT_MENTIONS(message, "torch.save(torch.load(");
}

TEST(TorchFile, OfDeferredTensorsIsThatOfTheTensorsThemselves) {
  const ScratchFolder folder;
  const at::Tensor a = at::arange(6, at::kFloat).view({2, 3}), b = at::ones({4}, at::kHalf);
  DeferredTensors deferred;
  int made = 0;
  const at::Tensor later_a = deferred.add({2, 3}, at::kFloat, [&] { return ++made, a.clone(); });
  const at::Tensor later_b = deferred.add({4}, at::kHalf, [&] { return ++made, b.clone(); });
  write_torch_file(folder / "a.pt", TorchDict{{"a", a}, {"b", b}, {"tied", a}});
  write_torch_file(folder / "b.pt", TorchDict{{"a", later_a}, {"b", later_b}, {"tied", later_a}}, deferred);
  EXPECT_EQ(read_file(folder / "a.pt"), read_file(folder / "b.pt"));
  EXPECT_EQ(made, 2) << "each is made once";
  write_safetensors(folder / "a.safetensors", {{"a", a}, {"b", b}});
  write_safetensors(folder / "b.safetensors", {{"a", later_a}, {"b", later_b}}, {}, deferred);
  EXPECT_EQ(read_file(folder / "a.safetensors"), read_file(folder / "b.safetensors"));
}

TEST(TorchFile, OfATensorThatIsNotWhatWasAnnouncedIsNotWritten) {
  const ScratchFolder folder;
  DeferredTensors deferred;
  const at::Tensor later = deferred.add({2, 3}, at::kFloat, [] { return at::ones({3, 2}); });
  EXPECT_THROW(write_torch_file(folder / "a.pt", TorchDict{{"a", later}}, deferred), StoreError);
  EXPECT_THROW(write_torch_file(folder / "a.pt", TorchDict{{"a", later}}), StoreError) << "nobody makes it";
  EXPECT_THROW(write_safetensors(folder / "a", {{"a", later}}, {}, deferred), StoreError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TorchFile, RefusesToWriteWhereItCannot) {
  EXPECT_THROW(write_torch_file("/nowhere/at/all/a.pt", some_values()), StoreError);
  const ScratchFolder folder;
  EXPECT_THROW(write_torch_file(folder / "a.pt", TorchDict{{"a", at::Tensor()}}), StoreError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// The archive writer of LibTorch throws from its destructor when a write fails, which would end the program.
TEST(TorchFile, SurvivesADiskThatFillsUpAndLeavesTheOldFile) {
  const ScratchFolder folder;
  write_torch_file(folder / "a.pt", TorchDict{{"old", at::ones({2})}});
  const std::string old = read_file(folder / "a.pt");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{16384, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(write_torch_file(folder / "a.pt", TorchDict{{"new", at::ones({100'000})}}), StoreError);
  EXPECT_THROW(write_safetensors(folder / "a.safetensors", {{"new", at::ones({100'000})}}), StoreError);
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(read_file(folder / "a.pt"), old);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "only the old file";
}

TEST(TorchFile, NamesAnEntryThatIsMissing) {
  EXPECT_MENTIONS(message_of<DataError>([] { torch_entry({}, "codes", "file.pt"); }), "'codes'");
}

TEST(TorchWeights, ReadsAFlatStateDictAndRefusesOtherEntries) {
  const ScratchFolder folder;
  write_torch_file(folder / "pytorch_model.bin", TorchDict{{"a", at::ones({2}, at::kBFloat16)}});
  const auto weights = open_weights(folder.path());
  EXPECT_EQ(weights->tensors().at("a").dtype, "BF16");
  EXPECT_TRUE(at::equal(weights->tensor("a"), at::ones({2}, at::kBFloat16)));
  EXPECT_MENTIONS(message_of<DataError>([&] { weights->tensor("b"); }), "'b'");
  write_torch_file(folder / "pytorch_model.bin", TorchDict{{"step", std::int64_t{3}}});
  EXPECT_MENTIONS(message_of<DataError>([&] { open_weights(folder.path()); }), "'step'");
  write_torch_file(folder / "pytorch_model.bin", TorchList{});
  EXPECT_MENTIONS(message_of<DataError>([&] { open_weights(folder.path()); }), "no dict");
}

TEST(TorchWeights, ReadsShardsByIndex) {
  const ScratchFolder folder;
  write_torch_file(folder / "part-1.bin", TorchDict{{"a", at::ones({2})}});
  write_torch_file(folder / "part-2.bin", TorchDict{{"b", at::zeros({2})}});
  test::write_text_file(folder / "pytorch_model.bin.index.json",
                        R"({"weight_map": {"a": "part-1.bin", "b": "part-2.bin"}})");
  EXPECT_TRUE(at::equal(open_weights(folder.path())->tensor("b"), at::zeros({2})));
}

}  // namespace
}  // namespace tercet
