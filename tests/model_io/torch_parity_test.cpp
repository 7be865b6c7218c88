// Driven by tests/parity/torch_file_parity.py, which makes the files and loads ours.
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>
#include <set>

#include "model_io/dtype.hpp"
#include "support/errors.hpp"
#include "tercet/base/file.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

class TorchParity : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("TERCET_PARITY_DIR");
    if (folder == nullptr) GTEST_SKIP() << "TERCET_PARITY_DIR is not set; tests/parity/torch_file_parity.py sets it";
    folder_ = folder;
  }
  fs::path folder_;
};

std::string torch_name(c10::ScalarType type) {
  static const std::map<std::string, std::string> kNames{
      {"F32", "float32"}, {"F16", "float16"}, {"BF16", "bfloat16"}, {"F64", "float64"}, {"U8", "uint8"},
      {"I8", "int8"},     {"I16", "int16"},   {"I32", "int32"},     {"I64", "int64"},   {"BOOL", "bool"}};
  return kNames.at(safetensors_name(type));
}

std::string hex_of(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  const auto* bytes = static_cast<const unsigned char*>(dense.const_data_ptr());
  std::string hex;
  for (std::size_t i = 0; i < dense.nbytes(); ++i) {
    hex += "0123456789abcdef"[bytes[i] >> 4];
    hex += "0123456789abcdef"[bytes[i] & 15];
  }
  return hex;
}

TEST_F(TorchParity, ReadsEveryFileOfPythonToTheByte) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "made_by_python")) {
    if (entry.path().extension() != ".pt") continue;
    const auto expected = nlohmann::json::parse(read_file(fs::path(entry.path()).replace_extension("json")));
    const TorchValue value = read_torch_file(entry.path());
    const auto& dict = std::get<TorchDict>(value);
    EXPECT_EQ(dict.size(), expected.size()) << entry.path();
    for (const auto& [name, held] : dict) {
      const auto& tensor = std::get<at::Tensor>(held);
      EXPECT_EQ(torch_name(tensor.scalar_type()), expected[name]["dtype"]) << entry.path() << name;
      EXPECT_EQ(tensor.sizes().vec(), expected[name]["shape"].get<std::vector<std::int64_t>>()) << name;
      EXPECT_EQ(hex_of(tensor), expected[name]["bytes"]) << entry.path() << name;
    }
    ++files;
  }
  EXPECT_GE(files, 11);
}

TEST_F(TorchParity, KeepsSharingOfPythonsFiles) {
  const TorchValue value = read_torch_file(folder_ / "made_by_python" / "tied.pt");
  const auto& dict = std::get<TorchDict>(value);
  EXPECT_EQ(std::get<at::Tensor>(dict[0].second).const_data_ptr(),
            std::get<at::Tensor>(dict[1].second).const_data_ptr());
}

TEST_F(TorchParity, RefusesWhatIsNoPlainData) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "refused")) {
    const std::string message = test::message_of<DataError>([&] { read_torch_file(entry.path()); });
    std::cout << message << "\n";
    EXPECT_MENTIONS(message, entry.path().filename().string());
    ++files;
  }
  EXPECT_EQ(files, 7);
}

TEST_F(TorchParity, WritesAFileForPython) {
  const at::Tensor numbers = at::arange(6, at::kFloat).reshape({2, 3});
  const at::Tensor shared = at::arange(6, at::kHalf).reshape({2, 3});
  TorchDict state{{"u8", numbers.to(at::kByte)},
                  {"i8", numbers.to(at::kChar)},
                  {"f16", numbers.to(at::kHalf)},
                  {"bf16", numbers.to(at::kBFloat16)},
                  {"f32", numbers},
                  {"i64", numbers.to(at::kLong)},
                  {"embed", shared},
                  {"head", shared},
                  {"transposed", shared.t()},
                  {"scalar", at::ones({})},
                  {"empty", at::zeros({0, 3})}};
  for (int i = 0; i < 300; ++i) state.emplace_back("layers." + std::to_string(i), at::ones({1}));
  const TorchDict nested{{"none", std::monostate{}},
                         {"yes", true},
                         {"no", false},
                         {"big", std::int64_t{1} << 40},
                         {"negative", std::int64_t{-7}},
                         {"real", 0.5},
                         {"list", TorchList{std::int64_t{1}, std::string("two"), TorchList{3.0}}},
                         {"text", std::string("grün")},
                         {"empty", TorchDict{}}};
  write_torch_file(
      folder_ / "made_by_us" / "state.pt",
      TorchDict{
          {"format", std::string("parity")}, {"version", std::int64_t{1}}, {"nested", nested}, {"state_dict", state}});
  EXPECT_TRUE(fs::exists(folder_ / "made_by_us" / "state.pt"));
}

}  // namespace
}  // namespace tercet
