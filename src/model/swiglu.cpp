#include "model/swiglu.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "model/dtype.hpp"
#include "model/simd.hpp"

namespace tercet {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kStretch = 64;

template <typename T>
TERCET_CLONES void forward_rows(const T* gate_up, T* out, std::int64_t width, std::int64_t begin, std::int64_t end) {
  using C = simd::Compute<T>;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * width;
    const T* up = gate + width;
    T* y = out + row * width;
    for (std::int64_t i = 0; i < width; ++i) {
      const C g = simd::load(gate + i);
      simd::store(y + i, g / (C(1) + simd::exp(-g)) * simd::load(up + i));
    }
  }
}

// One short stretch of a row, through local arrays: with two streams written and three read, all of one type, the
// compiler cannot rule out overlap by itself and would not vectorise.
template <typename T>
TERCET_INLINE void backward_stretch(const T* gate, const T* up, const T* dy, T* gate_grad, T* up_grad,
                                    std::int64_t count) {
  using C = simd::Compute<T>;
  C dg[kStretch], du[kStretch];
  for (std::int64_t i = 0; i < count; ++i) {
    const C g = simd::load(gate + i), d = simd::load(dy + i);
    const C sigmoid = C(1) / (C(1) + simd::exp(-g));
    const C silu = g * sigmoid;
    du[i] = d * silu;
    dg[i] = d * simd::load(up + i) * (sigmoid + silu * (C(1) - sigmoid));
  }
  for (std::int64_t i = 0; i < count; ++i) simd::store(gate_grad + i, dg[i]);
  for (std::int64_t i = 0; i < count; ++i) simd::store(up_grad + i, du[i]);
}

template <typename T>
TERCET_CLONES void backward_rows(const T* gate_up, const T* out_grad, T* grad, std::int64_t width, std::int64_t begin,
                                 std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const T *x = gate_up + row * 2 * width, *dy = out_grad + row * width;
    T* dx = grad + row * 2 * width;
    std::int64_t i = 0;
    for (; i + kStretch <= width; i += kStretch) {
      backward_stretch(x + i, x + width + i, dy + i, dx + i, dx + width + i, kStretch);
    }
    backward_stretch(x + i, x + width + i, dy + i, dx + i, dx + width + i, width - i);
  }
}

template <typename F>
void over_rows(std::int64_t rows, std::int64_t width, F f) {
  at::parallel_for(0, rows, std::max<std::int64_t>(1, 16384 / width), f);
}

struct Swiglu : torch::autograd::Function<Swiglu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up) {
    ctx->save_for_backward({gate_up});
    auto sizes = gate_up.sizes().vec();
    const auto width = sizes.back() /= 2;
    at::Tensor out = at::empty(sizes, gate_up.options());
    dispatch_pair(gate_up.scalar_type(), gate_up.scalar_type(), [&](auto type, auto) {
      using T = decltype(type);
      over_rows(out.numel() / width, width, [&](std::int64_t begin, std::int64_t end) {
        forward_rows<T>(gate_up.data_ptr<T>(), out.data_ptr<T>(), width, begin, end);
      });
    });
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::Tensor gate_up = ctx->get_saved_variables()[0];
    const at::Tensor out_grad = grads[0].contiguous();
    const auto width = out_grad.size(-1);
    at::Tensor grad = at::empty_like(gate_up);
    dispatch_pair(gate_up.scalar_type(), gate_up.scalar_type(), [&](auto type, auto) {
      using T = decltype(type);
      over_rows(out_grad.numel() / width, width, [&](std::int64_t begin, std::int64_t end) {
        backward_rows<T>(gate_up.data_ptr<T>(), out_grad.data_ptr<T>(), grad.data_ptr<T>(), width, begin, end);
      });
    });
    return {grad};
  }
};

}  // namespace

at::Tensor swiglu_reference(const at::Tensor& gate_up) {
  const auto halves = gate_up.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

at::Tensor swiglu(const at::Tensor& gate_up) {
  return has_cpu_loop(gate_up) ? Swiglu::apply(gate_up.contiguous()) : swiglu_reference(gate_up);
}

}  // namespace tercet
