#include "model/rms_norm.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "model/dtype.hpp"
#include "model/simd.hpp"

namespace tercet {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows whose weight gradients are summed together: fixed, so that the sum does not depend on the number of threads.
constexpr std::int64_t kChunkRows = 128;

// R: residual, N: delta and output. Pointers that may be null: delta (then sum is not written).
template <typename R, typename N>
struct ForwardRows {
  const R* residual;
  const N* delta;
  const simd::Compute<R>* weight;
  R* sum;
  N* out;
  simd::Compute<R>* inverse;
  std::int64_t width;
  double epsilon;
};

template <typename R, typename N>
TERCET_CLONES void forward_rows(const ForwardRows<R, N>& a, std::int64_t begin, std::int64_t end) {
  using C = simd::Compute<R>;
  for (std::int64_t row = begin; row < end; ++row) {
    const R* x = a.residual + row * a.width;
    if (a.delta != nullptr) {
      const N* d = a.delta + row * a.width;
      R* s = a.sum + row * a.width;
      for (std::int64_t i = 0; i < a.width; ++i) simd::store(s + i, simd::load(x + i) + simd::load(d + i));
      x = s;
    }
    const C square = simd::sum_lanes<C>(a.width, [&](std::int64_t i) { return simd::load(x + i) * simd::load(x + i); });
    const C inverse = C(1) / std::sqrt(square / C(a.width) + C(a.epsilon));
    a.inverse[row] = inverse;
    N* out = a.out + row * a.width;
    for (std::int64_t i = 0; i < a.width; ++i) simd::store(out + i, a.weight[i] * (simd::load(x + i) * inverse));
  }
}

// Pointers that may be null: sum_grad (the sum was not used further), delta_grad.
template <typename R, typename N>
struct BackwardRows {
  const R* sum;
  const simd::Compute<R>* weight;
  const simd::Compute<R>* inverse;
  const N* out_grad;
  const R* sum_grad;
  R* residual_grad;
  N* delta_grad;
  simd::Compute<R>* weight_grad;  // [chunks, width]
  std::int64_t width;
};

template <typename R, typename N>
TERCET_CLONES void backward_rows(const BackwardRows<R, N>& a, std::int64_t chunk, std::int64_t begin,
                                 std::int64_t end) {
  using C = simd::Compute<R>;
  C* weight_grad = a.weight_grad + chunk * a.width;
  for (std::int64_t row = begin; row < end; ++row) {
    const R* x = a.sum + row * a.width;
    const N* g = a.out_grad + row * a.width;
    const C inverse = a.inverse[row];
    const C dot = simd::sum_lanes<C>(
        a.width, [&](std::int64_t i) { return simd::load(g + i) * a.weight[i] * simd::load(x + i); });
    const C pull = dot * inverse * inverse / C(a.width);
    const R* upstream = a.sum_grad == nullptr ? nullptr : a.sum_grad + row * a.width;
    R* dx = a.residual_grad + row * a.width;
    for (std::int64_t i = 0; i < a.width; ++i) {
      const C v = simd::load(x + i);
      const C gi = simd::load(g + i);
      weight_grad[i] += gi * v * inverse;
      simd::store(dx + i, inverse * (gi * a.weight[i] - v * pull));
    }
    if (upstream != nullptr) {
      for (std::int64_t i = 0; i < a.width; ++i) simd::store(dx + i, simd::load(dx + i) + simd::load(upstream + i));
    }
    if (a.delta_grad != nullptr) {
      N* dd = a.delta_grad + row * a.width;
      for (std::int64_t i = 0; i < a.width; ++i) simd::store(dd + i, simd::load(dx + i));
    }
  }
}

template <typename T>
T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<T>() : nullptr;
}

struct Forward {
  at::Tensor sum, out, inverse;
};

Forward run_forward(const at::Tensor& residual, const at::Tensor& delta, const at::Tensor& weight, double epsilon,
                    at::ScalarType type) {
  const auto width = residual.size(-1);
  const auto rows = residual.numel() / width;
  Forward f;
  f.sum = delta.defined() ? at::empty_like(residual) : residual;
  f.out = at::empty(residual.sizes(), residual.options().dtype(type));
  f.inverse = at::empty({rows}, weight.options());
  dispatch_pair(residual.scalar_type(), type, [&](auto wide, auto narrow) {
    using R = decltype(wide);
    using N = decltype(narrow);
    using C = simd::Compute<R>;
    const ForwardRows<R, N> a{residual.data_ptr<R>(),
                              data_or_null<N>(delta),
                              weight.data_ptr<C>(),
                              f.sum.data_ptr<R>(),
                              f.out.data_ptr<N>(),
                              f.inverse.data_ptr<C>(),
                              width,
                              epsilon};
    at::parallel_for(0, rows, std::max<std::int64_t>(1, 32768 / width),
                     [&](std::int64_t begin, std::int64_t end) { forward_rows<R, N>(a, begin, end); });
  });
  return f;
}

struct Backward {
  at::Tensor residual, delta, weight;
};

Backward run_backward(const at::Tensor& sum, const at::Tensor& weight, const at::Tensor& inverse,
                      const at::Tensor& out_grad, const at::Tensor& sum_grad, bool with_delta) {
  const auto width = sum.size(-1);
  const auto rows = sum.numel() / width;
  const auto chunks = (rows + kChunkRows - 1) / kChunkRows;
  Backward b;
  b.residual = at::empty_like(sum);
  const bool same_type = out_grad.scalar_type() == sum.scalar_type();
  if (with_delta && !same_type) b.delta = at::empty_like(out_grad);
  const at::Tensor weight_grad = at::zeros({chunks, width}, weight.options());
  dispatch_pair(sum.scalar_type(), out_grad.scalar_type(), [&](auto wide, auto narrow) {
    using R = decltype(wide);
    using N = decltype(narrow);
    using C = simd::Compute<R>;
    const BackwardRows<R, N> a{sum.data_ptr<R>(),        weight.data_ptr<C>(),      inverse.data_ptr<C>(),
                               out_grad.data_ptr<N>(),   data_or_null<R>(sum_grad), b.residual.data_ptr<R>(),
                               data_or_null<N>(b.delta), weight_grad.data_ptr<C>(), width};
    at::parallel_for(0, chunks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t chunk = begin; chunk < end; ++chunk) {
        backward_rows<R, N>(a, chunk, chunk * kChunkRows, std::min(rows, (chunk + 1) * kChunkRows));
      }
    });
  });
  if (with_delta && same_type) b.delta = b.residual;  // d(residual + delta): one gradient for both
  b.weight = weight_grad.sum(0);
  return b;
}

// Inputs residual, delta (may be undefined), weight; outputs {normalised} or, with a delta, {normalised, sum}.
struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& residual,
                               const std::optional<at::Tensor>& maybe_delta, const at::Tensor& weight, double epsilon,
                               at::ScalarType type) {
    const at::Tensor delta = maybe_delta.value_or(at::Tensor());
    Forward f = run_forward(residual, delta, weight, epsilon, type);
    ctx->save_for_backward({f.sum, weight, f.inverse});
    ctx->saved_data["with_delta"] = delta.defined();
    ctx->set_materialize_grads(false);
    if (delta.defined()) return {f.out, f.sum};
    return {f.out};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const bool with_delta = ctx->saved_data["with_delta"].toBool();
    at::Tensor sum_grad = with_delta ? grads[1] : at::Tensor();
    if (sum_grad.defined()) sum_grad = sum_grad.contiguous();
    if (!grads[0].defined()) return {sum_grad, sum_grad, at::Tensor(), at::Tensor(), at::Tensor()};
    Backward b = run_backward(saved[0], saved[1], saved[2], grads[0].contiguous(), sum_grad, with_delta);
    return {b.residual, b.delta, b.weight, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

NormResult add_rms_norm_reference(const at::Tensor& residual, const at::Tensor& delta, const at::Tensor& weight,
                                  double epsilon, at::ScalarType type) {
  const at::Tensor sum = delta.defined() ? residual + delta : residual;
  const at::Tensor normalised = at::rms_norm(sum.to(weight.scalar_type()), {sum.size(-1)}, weight, epsilon);
  return {sum, normalised.to(type)};
}

NormResult add_rms_norm(const at::Tensor& residual, const at::Tensor& delta, const at::Tensor& weight, double epsilon,
                        at::ScalarType type) {
  if (!has_cpu_loop(residual) || type == at::kHalf) {
    return add_rms_norm_reference(residual, delta, weight, epsilon, type);
  }
  std::optional<at::Tensor> pending;  // autograd functions take absent inputs this way only
  if (delta.defined()) pending = delta.to(type).contiguous();
  auto out = AddRmsNorm::apply(residual.contiguous(), pending, weight.contiguous(), epsilon, type);
  return {pending ? out[1] : residual, out[0]};
}

}  // namespace tercet
