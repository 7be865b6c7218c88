#include "model/linear.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tercet/base/heartbeat.hpp"

namespace tercet {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor join(const std::vector<at::Tensor>& parts, at::ScalarType type, std::int64_t dim) {
  if (parts.size() == 1) return parts[0].to(type);
  std::vector<at::Tensor> converted;
  converted.reserve(parts.size());
  for (const auto& part : parts) converted.push_back(part.to(type));
  return at::cat(converted, dim);
}

at::Tensor join_biases(const std::vector<at::Tensor>& biases, const std::vector<at::Tensor>& weights,
                       at::ScalarType type, std::int64_t out_dim) {
  std::vector<at::Tensor> parts;
  bool any = false;
  for (std::size_t i = 0; i < biases.size(); ++i) {
    any = any || biases[i].defined();
    parts.push_back(biases[i].defined() ? biases[i] : at::zeros({weights[i].size(out_dim)}, weights[i].options()));
  }
  return any ? join(parts, type, 0) : at::Tensor();
}

// Inputs after x: the weights, then the biases that exist, as one list; has_bias says for each weight whether it has
// one (autograd functions take no undefined tensors).
struct LinearGroup : torch::autograd::Function<LinearGroup> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList tensors,
                            const std::vector<std::int64_t>& has_bias, bool input_first) {
    const auto count = has_bias.size();
    const std::vector<at::Tensor> weights(tensors.begin(), tensors.begin() + count);
    std::vector<at::Tensor> biases(count);
    for (std::size_t i = 0, next = count; i < count; ++i) {
      if (has_bias[i] != 0) biases[i] = tensors[next++];
    }
    const at::Tensor weight = join(weights, x.scalar_type(), input_first ? 1 : 0);
    const at::Tensor bias = join_biases(biases, weights, x.scalar_type(), input_first ? 1 : 0);
    ctx->save_for_backward({x, weight});
    std::vector<std::int64_t> widths;
    for (const auto& w : weights) widths.push_back(w.size(input_first ? 1 : 0));
    ctx->saved_data["widths"] = widths;
    ctx->saved_data["has_bias"] = has_bias;
    ctx->saved_data["input_first"] = input_first;
    ctx->saved_data["weight_type"] = static_cast<std::int64_t>(weights[0].scalar_type());
    const at::Tensor right = input_first ? weight : weight.t();
    return bias.defined() ? at::addmm(bias, x, right) : at::mm(x, right);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    heartbeat::beat();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor grad = grads[0].contiguous();
    const bool input_first = ctx->saved_data["input_first"].toBool();
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["weight_type"].toInt());
    const auto widths = ctx->saved_data["widths"].toIntVector();
    const auto has_bias = ctx->saved_data["has_bias"].toIntVector();
    const auto count = widths.size();
    variable_list result(1 + count);
    if (ctx->needs_input_grad(0)) result[0] = at::mm(grad, input_first ? weight.t() : weight);
    const at::Tensor weight_grad = input_first ? at::mm(x.t(), grad) : at::mm(grad.t(), x);
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < count; ++i) {
      result[1 + i] = weight_grad.narrow(input_first ? 1 : 0, offset, widths[i]).to(type);
      if (has_bias[i] != 0) result.push_back(grad.narrow(1, offset, widths[i]).sum(0, false, type));
      offset += widths[i];
    }
    result.resize(result.size() + 2);  // has_bias and input_first
    return result;
  }
};

// The products of one token, each with its weight where it lies: joining the weights would cost more than multiplying.
at::Tensor one_row(const at::Tensor& x, const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& biases,
                   bool input_first) {
  const auto type = x.scalar_type();
  std::vector<at::Tensor> outputs;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const at::Tensor weight = weights[i].to(type), right = input_first ? weight : weight.t();
    outputs.push_back(biases[i].defined() ? at::addmm(biases[i].to(type), x, right) : at::mm(x, right));
  }
  return outputs.size() == 1 ? outputs.front() : at::cat(outputs, -1);
}

}  // namespace

at::Tensor linear_group(const at::Tensor& x, const std::vector<at::Tensor>& weights,
                        const std::vector<at::Tensor>& biases, bool input_first) {
  if (x.size(0) == 1 && !at::GradMode::is_enabled()) return one_row(x, weights, biases, input_first);
  std::vector<at::Tensor> tensors = weights;
  std::vector<std::int64_t> has_bias;
  for (const auto& bias : biases) {
    has_bias.push_back(bias.defined() ? 1 : 0);
    if (bias.defined()) tensors.push_back(bias);
  }
  return LinearGroup::apply(x, at::TensorList(tensors), has_bias, input_first);
}

}  // namespace tercet
