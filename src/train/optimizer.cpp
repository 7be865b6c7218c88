#include "tercet/train/optimizer.hpp"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <map>

#include "optimizer_parts.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using train::AdamW;
using train::GrokfastFilter;
using train::Lion;
using train::Muon;
using train::ParameterList;

class CombinedOptimizer final : public Optimizer {
 public:
  CombinedOptimizer(const ParameterList& all, const ParameterList& matrices, const ParameterList& others,
                    const OptimizerOptions& options, int world_size) {
    if (options.kind == "lion") {
      lion_ = std::make_unique<Lion>(others, options);
    } else {
      adamw_ = std::make_unique<AdamW>(others, options);
    }
    if (options.kind == "mugrokfast" && options.grokfast_lambda != 0) {
      filter_ = std::make_unique<GrokfastFilter>(all, options.grokfast_alpha, options.grokfast_lambda);
    }
    if (!matrices.empty()) muon_ = std::make_unique<Muon>(matrices, options, world_size);
  }

  void step(Communicator& comm, double factor) override {
    const at::NoGradGuard no_grad;
    if (filter_) filter_->apply();
    if (muon_) muon_->step(comm, factor);
    if (lion_) lion_->step(factor);
    if (adamw_) adamw_->step(factor);
  }

  StateTensors state() const override {
    StateTensors state;
    if (filter_) filter_->collect(state);
    if (muon_) muon_->collect(state);
    if (lion_) lion_->collect(state);
    if (adamw_) adamw_->collect(state);
    return state;
  }

  void load(const StateTensors& saved) override {
    const at::NoGradGuard no_grad;
    std::map<std::string, at::Tensor> by_name(saved.begin(), saved.end());
    const StateTensors mine = state();
    for (const auto& [name, tensor] : mine) {
      const auto found = by_name.find(name);
      if (found == by_name.end() || found->second.sizes() != tensor.sizes()) {
        refuse(name, "is missing or has another shape");
      }
      at::Tensor(tensor).copy_(found->second);
      by_name.erase(found);
    }
    if (!by_name.empty()) refuse(by_name.begin()->first, "is not known");
  }

 private:
  [[noreturn]] static void refuse(const std::string& name, const std::string& what) {
    throw StoreError("optimizer state '" + name + "' " + what, "the checkpoint is of another model or optimizer");
  }

  std::unique_ptr<GrokfastFilter> filter_;
  std::unique_ptr<Muon> muon_;
  std::unique_ptr<Lion> lion_;
  std::unique_ptr<AdamW> adamw_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(std::vector<TrainedParameter>& parameters, const OptimizerOptions& options,
                                          int world_size) {
  ParameterList all, matrices, others;
  for (TrainedParameter& parameter : parameters) {
    if (!parameter.trained) continue;
    all.push_back(&parameter);
    const bool by_muon = options.kind == "mugrokfast" && is_block_linear(parameter.role);
    (by_muon ? matrices : others).push_back(&parameter);
  }
  return std::make_unique<CombinedOptimizer>(all, matrices, others, options, world_size);
}

double clip_gradients(std::vector<TrainedParameter>& parameters, double limit) {
  const at::NoGradGuard no_grad;
  double square = 0;
  for (const TrainedParameter& parameter : parameters) {
    if (!parameter.trained) continue;
    const double norm = parameter.gradient().norm().item<double>();
    square += norm * norm;
  }
  const double norm = std::sqrt(square);
  if (limit > 0 && norm > limit) {
    for (TrainedParameter& parameter : parameters) {
      if (parameter.trained) parameter.gradient().mul_(limit / norm);
    }
  }
  return norm;
}

}  // namespace tercet
