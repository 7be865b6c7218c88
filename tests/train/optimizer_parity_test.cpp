// Optimizers against PyTorch's own. tests/parity/optimizer_parity.py makes the folder and sets TERCET_PARITY_DIR.
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tercet/base/file.hpp"
#include "tercet/model_io/weights.hpp"
#include "tercet/train/optimizer.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

OptimizerOptions options_of(const nlohmann::json& json) {
  OptimizerOptions options;
  options.kind = json.at("kind");
  options.learning_rate = options.muon_learning_rate = json.at("lr");
  options.beta1 = json.value("beta1", options.beta1);
  options.beta2 = json.value("beta2", options.beta2);
  options.epsilon = json.value("eps", options.epsilon);
  options.momentum = json.value("momentum", options.momentum);
  options.weight_decay = json.at("weight_decay");
  options.newton_schulz_bfloat16 = json.value("bfloat16", false);
  return options;
}

std::vector<TrainedParameter> parameters_of(const nlohmann::json& names, const WeightSource& file) {
  std::vector<TrainedParameter> parameters;
  for (const std::string name : names) {
    TrainedParameter parameter;
    parameter.name = name;
    parameter.role = name.starts_with("norm") ? Role::kNorm : Role::kUp;
    parameter.input_first = name.starts_with("conv1d");
    const at::Tensor start = file.tensor("start." + name);
    parameter.master = (parameter.input_first ? start.t() : start).clone().contiguous();
    parameter.seen = at::zeros_like(parameter.master).set_requires_grad(true);
    parameter.seen.mutable_grad() = at::zeros_like(parameter.master);
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

// <case>.json: the options, the names and the learning-rate factor of each step; <case>.safetensors: start.NAME,
// gradient.STEP.NAME and expected.STEP.NAME, all [out, in].
void compare(const fs::path& description) {
  const nlohmann::json json = nlohmann::json::parse(read_file(description));
  const auto file = open_safetensors(fs::path(description).replace_extension(".safetensors"));
  std::vector<TrainedParameter> parameters = parameters_of(json.at("names"), *file);
  const auto optimizer = make_optimizer(parameters, options_of(json), 1);
  const auto comm = make_self_communicator();
  double worst = 0, farthest = 0;
  int step = 0;
  for (const double factor : json.at("factors")) {
    const std::string number = std::to_string(step++) + ".";
    for (TrainedParameter& parameter : parameters) {
      const at::Tensor gradient = file->tensor("gradient." + number + parameter.name);
      parameter.seen.mutable_grad().copy_(parameter.input_first ? gradient.t() : gradient);
    }
    optimizer->step(*comm, factor);
    for (const TrainedParameter& parameter : parameters) {
      const at::Tensor got = as_output_first(parameter.master, parameter.input_first);
      const at::Tensor expected = file->tensor("expected." + number + parameter.name);
      worst = std::max(worst, (got - expected).abs().max().item<double>());
      farthest = std::max(farthest, (got - file->tensor("start." + parameter.name)).abs().max().item<double>());
    }
  }
  std::printf("  %-20s max |difference| %.1e after moving %.2f\n", description.stem().c_str(), worst, farthest);
  EXPECT_GT(step, 2) << description;
  EXPECT_LE(worst, json.at("tolerance").get<double>()) << description;
  EXPECT_GT(farthest, 0.02) << description << ": moved too little to show a mistake";
}

TEST(OptimizerParity, TakesTheStepsOfTorchOptim) {
  const char* folder = std::getenv("TERCET_PARITY_DIR");
  if (folder == nullptr) GTEST_SKIP() << "TERCET_PARITY_DIR is not set (tests/parity/optimizer_parity.py sets it)";
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    compare(entry.path());
    ++cases;
  }
  EXPECT_GT(cases, 0) << folder << " is empty";
}

}  // namespace
}  // namespace tercet
