// Driven by tests/parity/torch_file_parity.py and exports_parity.py, which open these artifacts in Python.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "artifact/gguf_file.hpp"
#include "artifact/gguf_model.hpp"
#include "export_models.hpp"
#include "support.hpp"
#include "support/shared_data.hpp"
#include "tercet/base/file.hpp"

namespace tercet {
namespace {

TEST(ArtifactParity, WritesArtifactsForPython) {
  const char* parity = std::getenv("TERCET_PARITY_DIR");
  if (parity == nullptr) GTEST_SKIP() << "TERCET_PARITY_DIR is not set; tests/parity/torch_file_parity.py sets it";
  const std::filesystem::path folder = std::filesystem::path(parity) / "artifacts";
  const std::vector<std::pair<std::string, PackedModel>> models = {{"llama", test::tiny_llama()},
                                                                   {"llama_untied", test::tiny_llama(false)},
                                                                   {"gpt2", test::tiny_gpt2()},
                                                                   {"mixture", test::tiny_mixture()}};
  for (const auto& [name, model] : models) {
    std::filesystem::create_directories(folder / name);
    test::write_artifacts(folder / name, model);
    EXPECT_TRUE(verify_artifacts(folder / name).empty());
  }
}

void write_raw(const std::filesystem::path& file, const at::Tensor& tensor) {
  write_file_atomically(file, {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
}

// Token ids, and the logits that our decoder computes from the packed values.
void write_logits(const std::filesystem::path& folder, const PackedModel& model) {
  const at::NoGradGuard no_grad;
  NamedTensors tensors;
  for (const PackedTensor& tensor : model.tensors) {
    const at::Tensor value = dequantize(tensor.stored);
    tensors.emplace_back(tensor.name, tensor.input_first ? value.t().contiguous() : value);
  }
  Decoder decoder = Decoder::from_parameters(model.config, tensors, "cpu");
  decoder.set_activation_bits(model.activation_bits);
  const at::Tensor ids = at::arange(40, at::kLong).mul(37).remainder(257).unsqueeze(0);
  write_raw(folder / "ids.bin", ids);
  write_raw(folder / "logits.bin", decoder.forward(ids).to(at::kFloat).contiguous());
}

TEST(ArtifactParity, WritesExportsForPython) {
  const char* parity = std::getenv("TERCET_PARITY_DIR");
  if (parity == nullptr) GTEST_SKIP() << "TERCET_PARITY_DIR is not set; tests/parity/exports_parity.py sets it";
  for (const test::ExportCase& each : test::export_cases()) {
    const std::filesystem::path folder = std::filesystem::path(parity) / "exports" / each.name;
    std::filesystem::create_directories(folder);
    ExportSettings settings;
    if (each.name == "tied_256") settings.shard_bytes = 300'000;
    test::write_exports(folder, each.model, each.formats, settings);
    EXPECT_TRUE(verify_artifacts(folder).empty()) << each.name;
    write_logits(folder, each.model);
  }
  const std::filesystem::path vocabularies = std::filesystem::path(parity) / "vocabularies";
  std::filesystem::create_directories(vocabularies);
  for (const auto& [folder, name] : {std::pair{"gpt2", "gpt-2"}, std::pair{"llama2", "llama-spm"}}) {
    const std::filesystem::path tokenizer = test::shared_data() / "tokenizers" / folder;
    if (!std::filesystem::exists(tokenizer)) continue;
    const Vocabulary vocabulary = read_vocabulary(tokenizer);
    GgufFile file;
    set_tokenizer_keys(vocabulary, {}, static_cast<std::int64_t>(vocabulary.entries.size()), file);
    write_gguf(vocabularies / (std::string(name) + ".gguf"), file);
  }
}

}  // namespace
}  // namespace tercet
