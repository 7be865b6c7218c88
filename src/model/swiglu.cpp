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

template <typename T>
TERCET_MULTIVERSION void forward_rows(const T* gate_up, T* out, std::int64_t width, std::int64_t begin,
                                      std::int64_t end) {
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

template <typename T>
TERCET_MULTIVERSION void backward_rows(const T* gate_up, const T* out_grad, T* grad, std::int64_t width,
                                       std::int64_t begin, std::int64_t end) {
  using C = simd::Compute<T>;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * width;
    const T* up = gate + width;
    const T* dy = out_grad + row * width;
    T* gate_grad = grad + row * 2 * width;
    T* up_grad = gate_grad + width;
    for (std::int64_t i = 0; i < width; ++i) {
      const C g = simd::load(gate + i);
      const C d = simd::load(dy + i);
      const C sigmoid = C(1) / (C(1) + simd::exp(-g));
      const C silu = g * sigmoid;
      simd::store(up_grad + i, d * silu);
      simd::store(gate_grad + i, d * simd::load(up + i) * (sigmoid + silu * (C(1) - sigmoid)));
    }
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
