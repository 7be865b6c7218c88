#include "model/activation_quantization.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "model/dtype.hpp"
#include "model/simd.hpp"

namespace tercet {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kSmallestAbsmax = 1e-5;  // an all-zero token must not divide by zero

template <typename X, typename Y>
TERCET_CLONES void quantize_rows(const X* in, Y* out, std::int64_t width, std::int64_t begin, std::int64_t end) {
  using C = simd::Compute<X>;
  for (std::int64_t row = begin; row < end; ++row) {
    const X* x = in + row * width;
    Y* y = out + row * width;
    const C absmax = std::max(simd::largest_magnitude(x, width), C(kSmallestAbsmax));
    const C to_int = C(127) / absmax;
    const C from_int = absmax / C(127);
    // Nothing to clamp: the product is at most 127 (1 + 2^-22), or not a number, where absmax is infinite.
    for (std::int64_t i = 0; i < width; ++i) {
      simd::store(y + i, std::nearbyint(simd::load(x + i) * to_int) * from_int);
    }
  }
}

at::Tensor quantize_on_cpu(const at::Tensor& x, at::ScalarType type) {
  const auto width = x.size(-1);
  at::Tensor out = at::empty(x.sizes(), x.options().dtype(type));
  dispatch_pair(x.scalar_type(), type, [&](auto wide, auto narrow) {
    using X = decltype(wide);
    using Y = decltype(narrow);
    at::parallel_for(0, x.numel() / width, std::max<std::int64_t>(1, 32768 / width),
                     [&](std::int64_t begin, std::int64_t end) {
                       quantize_rows<X, Y>(x.data_ptr<X>(), out.data_ptr<Y>(), width, begin, end);
                     });
  });
  return out;
}

struct FakeQuantizeRows : torch::autograd::Function<FakeQuantizeRows> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, at::ScalarType type) {
    ctx->saved_data["type"] = static_cast<std::int64_t>(x.scalar_type());
    return has_cpu_loop(x) && type != at::kHalf ? quantize_on_cpu(x.contiguous(), type)
                                                : fake_quantize_rows_reference(x, type);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    return {grads[0].to(static_cast<at::ScalarType>(ctx->saved_data["type"].toInt())), at::Tensor()};
  }
};

}  // namespace

at::Tensor fake_quantize_rows_reference(const at::Tensor& x, at::ScalarType type) {
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const at::Tensor absmax = wide.abs().amax(-1, true).clamp_min(kSmallestAbsmax);
  return ((wide * (127.0 / absmax)).round().clamp(-128, 127) * (absmax / 127.0)).to(type);
}

at::Tensor fake_quantize_rows(const at::Tensor& x, at::ScalarType type) {
  return FakeQuantizeRows::apply(x, type);
}

}  // namespace tercet
