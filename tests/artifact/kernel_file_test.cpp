// kernels.safetensors: what it holds, when it is used, and what the independent check notices in it.
#include "tercet/artifact/kernel_file.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "export_models.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

using test::llama_json;
using test::packed_of;
using test::ScratchFolder;
using test::spec_of;

constexpr const char* kMaster = "bitnet_quantized_model.pt";
constexpr const char* kQueryOfFirst = "model.layers.0.self_attn.q_proj.weight";

at::Tensor logits_of(const PackedModel& model, const KernelFile* kernels, WeightForm form) {
  const at::NoGradGuard no_grad;
  std::vector<StoredParameter> parameters;
  for (const PackedTensor& tensor : model.tensors) {
    parameters.push_back(
        {tensor.name, tensor.stored, tensor.input_first, kernels == nullptr ? nullptr : kernels->matrix(tensor)});
  }
  Decoder decoder = Decoder::from_stored(model.config, parameters, form, "cpu");
  decoder.set_activation_bits(model.activation_bits);
  return decoder.forward(at::arange(40, at::kLong).mul(37).remainder(257).unsqueeze(0));
}

std::set<std::string> tensors_with_codes(const std::filesystem::path& file) {
  std::set<std::string> names;
  const auto source = open_safetensors(file);
  for (const auto& [name, info] : source->tensors()) {
    if (name.ends_with(".codes")) names.insert(name.substr(0, name.size() - std::string(".codes").size()));
  }
  return names;
}

std::set<std::string> quantized_matrices(const PackedModel& model) {
  std::set<std::string> names;
  for (const PackedTensor& tensor : model.tensors) {
    if (tensor.stored.spec.format->is_grid()) names.insert(tensor.name);
  }
  return names;
}

TEST(KernelFile, GivesTheBitsOfThePackedFileInEveryFamilyAndFormat) {
  std::vector<test::ExportCase> cases = test::export_cases();
  cases.push_back({"ternary5", packed_of(llama_json(64, 172, false), spec_of("ternary5", Granularity::kChannel)), {}});
  cases.push_back({"int6", packed_of(llama_json(64, 128, true), spec_of("int6", Granularity::kGroup, 16, false)), {}});
  for (const test::ExportCase& each : cases) {
    SCOPED_TRACE(each.name);
    const ScratchFolder folder;
    test::write_exports(folder.path(), each.model, {"kernels"});
    EXPECT_EQ(test::join(verify_artifacts(folder.path())), "");
    EXPECT_EQ(tensors_with_codes(folder / KernelFile::kName), quantized_matrices(each.model));
    const auto kernels = KernelFile::beside(folder / kMaster);
    ASSERT_NE(kernels, nullptr);
    const PackedModel read = read_packed_model(folder / kMaster, PackedCheck::kAllButCodes);
    for (const WeightForm form : {WeightForm::kPacked, WeightForm::kPackedBlocks})
      EXPECT_TRUE(at::equal(logits_of(read, kernels.get(), form), logits_of(each.model, nullptr, form)));
  }
}

class KernelFiles : public ::testing::Test {
 protected:
  void SetUp() override { test::write_exports(folder_.path(), model_, {"kernels"}); }
  std::string findings() {
    test::write_metadata(folder_.path());
    return test::join(verify_artifacts(folder_.path()));
  }
  const PackedTensor& query() { return test::tensor_of(model_, kQueryOfFirst); }
  // Rewrites the file after a change, as sound as before in all else.
  void change(const std::function<void(NamedTensors&)>& action) {
    NamedTensors tensors;
    const auto source = open_safetensors(file_);
    for (const auto& [name, info] : source->tensors()) tensors.emplace_back(name, source->tensor(name).clone());
    action(tensors);
    write_safetensors(file_, tensors, safetensors_metadata(file_), {}, 64);
  }

  ScratchFolder folder_;
  std::filesystem::path file_ = folder_ / KernelFile::kName;
  PackedModel model_ = packed_of(llama_json(64, 172, false), spec_of("int4", Granularity::kGroup, 32, false));
};

TEST_F(KernelFiles, HoldEveryMatrixThatHasKernelsAsViewsOfTheMapping) {
  const auto kernels = KernelFile::beside(folder_ / kMaster);
  ASSERT_NE(kernels, nullptr);
  for (const PackedTensor& tensor : model_.tensors) {
    const auto matrix = kernels->matrix(tensor);
    ASSERT_EQ(matrix != nullptr, tensor.stored.shape.size() == 2) << tensor.name;
    if (matrix == nullptr) continue;
    const PackedParts found = matrix->parts(), made = PackedMatrix(tensor.stored).parts();
    for (const auto part : {&PackedParts::codes, &PackedParts::scales, &PackedParts::zero_points}) {
      ASSERT_EQ((found.*part).defined(), (made.*part).defined()) << tensor.name;
      if (!(made.*part).defined()) continue;
      EXPECT_TRUE(at::equal(found.*part, made.*part)) << tensor.name;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>((found.*part).const_data_ptr()) % 64, 0) << tensor.name;
    }
  }
}

TEST_F(KernelFiles, StayMappedWhenTheFileIsClosed) {
  const auto matrix = KernelFile::beside(folder_ / kMaster)->matrix(query());
  std::filesystem::remove(file_);
  EXPECT_TRUE(at::equal(matrix->parts().codes, PackedMatrix(query().stored).parts().codes));
}

TEST_F(KernelFiles, ArePassedOverWhereTheyBelongToAnotherPackedFile) {
  EXPECT_EQ(KernelFile::beside(folder_ / "elsewhere" / kMaster), nullptr);
  const PackedModel other = packed_of(llama_json(64, 172, false), spec_of("ternary", Granularity::kChannel));
  write_packed_model(folder_ / kMaster, other);
  EXPECT_EQ(KernelFile::beside(folder_ / kMaster), nullptr);
  EXPECT_MENTIONS(findings(), "kernels.safetensors: it was made of another packed file");
}

TEST_F(KernelFiles, ArePassedOverInAnotherVersionOfTheOrder) {
  auto metadata = safetensors_metadata(file_);
  metadata["kernel_layout"] = "2";
  write_safetensors(file_, {}, metadata);
  EXPECT_EQ(KernelFile::beside(folder_ / kMaster), nullptr);
}

TEST_F(KernelFiles, ThatAreDamagedAreNamedWithTheTensor) {
  const std::string query_codes = std::string(kQueryOfFirst) + ".codes";
  change([&](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name == query_codes) tensor = tensor.narrow(0, 0, 1).clone();
    }
  });
  const auto kernels = KernelFile::beside(folder_ / kMaster);
  const std::string message = test::message_of<DataError>([&] { kernels->matrix(query()); });
  EXPECT_MENTIONS(message, kQueryOfFirst);
  EXPECT_MENTIONS(message, file_.string());
  EXPECT_MENTIONS(message, "shape");
  std::filesystem::resize_file(file_, std::filesystem::file_size(file_) - 64);
  EXPECT_MENTIONS(test::message_of<DataError>([&] { KernelFile::beside(folder_ / kMaster); }), "cut off");
}

TEST_F(KernelFiles, HaveEveryBitChecked) {
  const auto flipped = [&](const std::string& ending, std::int64_t byte) {
    test::write_exports(folder_.path(), model_, {"kernels"});
    change([&](NamedTensors& tensors) {
      for (auto& [name, tensor] : tensors) {
        if (name == kQueryOfFirst + ending) static_cast<std::uint8_t*>(tensor.mutable_data_ptr())[byte] ^= 1;
      }
    });
    return findings();
  };
  const std::string of = std::string("of tensor '") + kQueryOfFirst + "' differ from the packed file's\n";
  EXPECT_EQ(flipped(".codes", 1234), "kernels.safetensors: 1 codes " + of);
  EXPECT_EQ(flipped(".scales", 55), "kernels.safetensors: 1 scales " + of);
  EXPECT_EQ(flipped(".zero_points", 17), "kernels.safetensors: 1 zero points " + of);
}

TEST_F(KernelFiles, HaveNoMatrixTooFewOrTooManyAndNothingInTheirPadding) {
  change([&](NamedTensors& tensors) {
    std::erase_if(tensors, [](const auto& t) { return t.first == std::string(kQueryOfFirst) + ".scales"; });
    tensors.emplace_back("stray", at::arange(64, at::kByte));
    for (auto& [name, tensor] : tensors) {  // 172 columns in chunks of 8: the last four of a chunk are no codes
      if (name == "model.layers.1.mlp.down_proj.weight.codes") tensor.select(1, 21)[0][0].bitwise_or_(0x10);
    }
  });
  const std::string found = findings();
  EXPECT_MENTIONS(found, std::string("tensor '") + kQueryOfFirst + ".scales' is missing");
  EXPECT_MENTIONS(found, "tensor 'stray' does not belong to the packed model");
  EXPECT_MENTIONS(found, "1 codes of tensor 'model.layers.1.mlp.down_proj.weight'");
}

}  // namespace
}  // namespace tercet
