#include "model/attention.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "model/attention_cpu.hpp"

namespace tercet {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

AttentionShape shape_of(const at::Tensor& query, std::int64_t window) {
  return {query.size(1), query.size(2), query.size(3), window == 0 ? query.size(2) : window};
}

template <typename F>
void over_heads(const at::Tensor& query, F f) {
  const auto heads = query.size(1);
  at::parallel_for(0, query.size(0) * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) f(i / heads, i % heads);
  });
}

struct CpuAttention : torch::autograd::Function<CpuAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, std::int64_t window) {
    const AttentionShape shape = shape_of(query, window);
    at::Tensor out = at::empty({query.size(0), shape.positions, shape.heads * shape.head_dim}, query.options());
    at::Tensor log_sums = at::empty({query.size(0), shape.heads, shape.positions}, query.options());
    const AttentionForward work{query.data_ptr<float>(), key.data_ptr<float>(), value.data_ptr<float>(),
                                out.data_ptr<float>(), log_sums.data_ptr<float>()};
    over_heads(query, [&](std::int64_t batch, std::int64_t head) { attention_forward(shape, work, batch, head); });
    ctx->save_for_backward({query, key, value, out, log_sums});
    ctx->saved_data["window"] = window;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor& query = saved[0];
    const AttentionShape shape = shape_of(query, ctx->saved_data["window"].toInt());
    const at::Tensor out_grad = grads[0].contiguous();
    at::Tensor dq = at::empty_like(query), dk = at::empty_like(query), dv = at::empty_like(query);
    const AttentionBackward work{query.data_ptr<float>(),    saved[1].data_ptr<float>(), saved[2].data_ptr<float>(),
                                 saved[3].data_ptr<float>(), saved[4].data_ptr<float>(), out_grad.data_ptr<float>(),
                                 dq.data_ptr<float>(),       dk.data_ptr<float>(),       dv.data_ptr<float>()};
    over_heads(query, [&](std::int64_t batch, std::int64_t head) { attention_backward(shape, work, batch, head); });
    return {dq, dk, dv, at::Tensor()};
  }
};

}  // namespace

at::Tensor attend_reference(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& mask) {
  const std::optional<at::Tensor> bias = mask.defined() ? std::optional(mask) : std::nullopt;
  const at::Tensor out = at::scaled_dot_product_attention(query, key, value, bias, 0.0, !mask.defined());
  return out.transpose(1, 2).reshape({query.size(0), query.size(2), -1});
}

at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& mask,
                  std::int64_t window) {
  const bool own = query.device().is_cpu() && query.scalar_type() == at::kFloat && attention_cpu_supported();
  if (!own) return attend_reference(query, key, value, mask);
  return CpuAttention::apply(query.contiguous(), key.contiguous(), value.contiguous(), window);
}

}  // namespace tercet
