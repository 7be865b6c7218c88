#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tercet/eval/evaluate.hpp"

namespace tercet {
namespace {

at::Tensor next_token_loss(const Decoder& model, const at::Tensor& ids) {
  const at::Tensor logits = model.forward(ids).slice(1, 0, ids.size(1) - 1).to(at::kFloat);
  const at::Tensor log_q = at::log_softmax(logits, -1).reshape({-1, logits.size(-1)});
  return at::nll_loss(log_q, ids.slice(1, 1).reshape({-1}));
}

}  // namespace

GradientFlow check_gradient_flow(const Decoder& model, const Windows& windows, std::int64_t batch) {
  const at::AutoGradMode with_gradients(true);
  Decoder copy = model.clone();
  for (Parameter& parameter : copy.parameters()) parameter.value = parameter.value.detach().set_requires_grad(true);
  const auto count =
      static_cast<std::int64_t>(std::min<std::uint64_t>(windows.count, static_cast<std::uint64_t>(batch)));
  at::Tensor ids = at::empty({count, windows.length}, at::kLong);
  const auto length = static_cast<std::size_t>(windows.length);
  for (std::int64_t i = 0; i < count; ++i) {
    windows.read(static_cast<std::uint64_t>(i), {ids.mutable_data_ptr<std::int64_t>() + i * windows.length, length});
  }
  torch::autograd::backward({next_token_loss(copy, ids.to(copy.device()))}, {});

  GradientFlow flow;
  flow.smallest_norm = std::numeric_limits<double>::infinity();
  for (const Parameter& parameter : copy.parameters()) {
    ++flow.tensors;
    const at::Tensor& gradient = parameter.value.grad();
    const double norm = gradient.defined() ? gradient.norm().item<double>() : 0.0;
    if (!gradient.defined())
      flow.problems.push_back(parameter.name + ": no gradient");
    else if (!std::isfinite(norm))
      flow.problems.push_back(parameter.name + ": not finite");
    else if (norm == 0)
      flow.problems.push_back(parameter.name + ": all zero");
    flow.smallest_norm = std::min(flow.smallest_norm, norm);
    flow.largest_norm = std::max(flow.largest_norm, norm);
  }
  flow.passed = flow.problems.empty();
  return flow;
}

}  // namespace tercet
