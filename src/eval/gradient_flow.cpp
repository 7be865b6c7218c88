#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "tercet/eval/evaluate.hpp"

namespace tercet {
namespace {

at::Tensor next_token_loss(const at::Tensor& all_logits, const at::Tensor& ids) {
  const at::Tensor logits = all_logits.slice(1, 0, ids.size(1) - 1).to(at::kFloat);
  const at::Tensor log_q = at::log_softmax(logits, -1).reshape({-1, logits.size(-1)});
  return at::nll_loss(log_q, ids.slice(1, 1).reshape({-1}));
}

at::Tensor first_windows(const Windows& windows, std::int64_t batch) {
  const auto count =
      static_cast<std::int64_t>(std::min<std::uint64_t>(windows.count, static_cast<std::uint64_t>(batch)));
  at::Tensor ids = at::empty({count, windows.length}, at::kLong);
  const auto length = static_cast<std::size_t>(windows.length);
  for (std::int64_t i = 0; i < count; ++i) {
    windows.read(static_cast<std::uint64_t>(i), {ids.mutable_data_ptr<std::int64_t>() + i * windows.length, length});
  }
  return ids;
}

// What the backward pass left at the parameters of one block, or outside the blocks (-1).
class GradientNorms {
 public:
  explicit GradientNorms(Decoder& model) : model_(model), norms_(model.parameters().size()) {}

  // The values become leaves of the graph; streamed ones are made.
  void prepare(int block) {
    for (Parameter& parameter : model_.parameters()) {
      if (parameter.layer != block) continue;
      parameter.value = values_of(parameter).detach().set_requires_grad(true);
      parameter.streamed = nullptr;
    }
  }

  // Values and gradients go.
  void take(int block) {
    for (std::size_t i = 0; i < norms_.size(); ++i) {
      Parameter& parameter = model_.parameters()[i];
      if (parameter.layer != block) continue;
      if (parameter.value.grad().defined()) norms_[i] = parameter.value.grad().norm().item<double>();
      parameter.value = shape_alone(parameter.value.sizes().vec());
    }
  }

  GradientFlow summary() const {
    GradientFlow flow;
    flow.smallest_norm = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < norms_.size(); ++i) {
      ++flow.tensors;
      const std::string& name = model_.parameters()[i].name;
      const double norm = norms_[i].value_or(0);
      if (!norms_[i])
        flow.problems.push_back(name + ": no gradient");
      else if (!std::isfinite(norm))
        flow.problems.push_back(name + ": not finite");
      else if (norm == 0)
        flow.problems.push_back(name + ": all zero");
      flow.smallest_norm = std::min(flow.smallest_norm, norm);
      flow.largest_norm = std::max(flow.largest_norm, norm);
    }
    flow.passed = flow.problems.empty();
    return flow;
  }

 private:
  Decoder& model_;
  std::vector<std::optional<double>> norms_;  // by parameter; nullopt: no gradient
};

// One graph.
void pass_whole(Decoder& model, const at::Tensor& ids, GradientNorms& norms) {
  const auto blocks = static_cast<int>(model.config().layers);
  for (int block = -1; block < blocks; ++block) norms.prepare(block);
  torch::autograd::backward({next_token_loss(model.forward(ids), ids)}, {});
  for (int block = -1; block < blocks; ++block) norms.take(block);
}

// A graph for each block, from the last to the first, so that the weights of one are there at a time.
void pass_by_block(Decoder& model, const at::Tensor& ids, GradientNorms& norms) {
  const auto blocks = static_cast<int>(model.config().layers);
  norms.prepare(-1);
  const at::Tensor embedded = model.embed(ids);
  std::vector<at::Tensor> streams{embedded.detach()};  // before each block, and after the last
  {
    const at::NoGradGuard no_grad;
    for (int block = 0; block < blocks; ++block) streams.push_back(model.block(block, streams.back()));
  }
  streams.back().set_requires_grad(true);
  torch::autograd::backward({next_token_loss(model.forward_from(blocks, streams.back()), ids)}, {});
  for (int block = blocks - 1; block >= 0; --block) {
    const at::Tensor gradient = streams.back().grad();
    streams.pop_back();
    norms.prepare(block);
    torch::autograd::backward({model.block(block, streams.back().set_requires_grad(true))}, {gradient});
    norms.take(block);
  }
  torch::autograd::backward({embedded}, {streams.back().grad()});
  norms.take(-1);
}

}  // namespace

GradientFlow check_gradient_flow(const Decoder& model, const Windows& windows, std::int64_t batch) {
  const at::AutoGradMode with_gradients(true);
  Decoder copy = model.clone();
  const at::Tensor ids = first_windows(windows, batch).to(copy.device());
  const bool streams = std::any_of(copy.parameters().begin(), copy.parameters().end(),
                                   [](const Parameter& parameter) { return parameter.streamed != nullptr; });
  GradientNorms norms(copy);
  (streams ? pass_by_block : pass_whole)(copy, ids, norms);
  return norms.summary();
}

}  // namespace tercet
