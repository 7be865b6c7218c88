// Driven by tests/parity/torch_file_parity.py, which opens these artifacts in Python.
#include <gtest/gtest.h>

#include <cstdlib>

#include "support.hpp"

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

}  // namespace
}  // namespace tercet
