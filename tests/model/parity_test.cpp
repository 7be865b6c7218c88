// Logits against transformers. tests/parity/logits_parity.py makes the folders and sets TERCET_PARITY_DIR.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tercet/model/decoder.hpp"

namespace tercet {
namespace {

// <case>/expected.safetensors holds ids and fp32 logits; the model is in <case>/model, or where <case>/model leads.
TEST(Parity, LogitsEqualTransformersTo1e4OnEveryFamily) {
  const char* folder = std::getenv("TERCET_PARITY_DIR");
  if (folder == nullptr) GTEST_SKIP() << "TERCET_PARITY_DIR is not set (tests/parity/logits_parity.py sets it)";
  int cases = 0;
  const at::NoGradGuard no_grad;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const ModelConfig config = read_model_config(entry.path() / "model");
    const std::shared_ptr<const WeightSource> weights = open_weights(entry.path() / "model");
    const Decoder model = Decoder::load(config, weights);
    const auto expected = open_safetensors(entry.path() / "expected.safetensors");
    const at::Tensor got = model.forward(expected->tensor("ids").clone());
    const at::Tensor logits = expected->tensor("logits");
    ASSERT_EQ(got.sizes(), logits.sizes()) << entry.path();
    const double worst = (got - logits).abs().max().item<double>();
    std::printf("  %-28s max |difference| %.2e of %.2f\n", entry.path().filename().c_str(), worst,
                logits.abs().max().item<double>());
    EXPECT_LE(worst, 1e-4) << entry.path();
    EXPECT_GT(logits.abs().max().item<double>(), 0.1) << entry.path() << ": too small to show a mistake";
    ++cases;
  }
  EXPECT_GT(cases, 0) << folder << " is empty";
}

}  // namespace
}  // namespace tercet
