#include "model/heads.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <optional>

#include "model/dtype.hpp"
#include "model/simd.hpp"

namespace tercet {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// One of q, k, v: its heads on both sides and whether it is rotated.
template <typename C, typename T>
struct Piece {
  const T* joined;  // first column of head 0
  C* split;         // [batch, out_heads, positions, head_dim]
  const C *cos, *sin;
  std::int64_t rotary;  // 0: copied
  std::int64_t head_dim, stride, columns, positions;
  std::int64_t heads, repeat;  // heads among the columns, copies of each in `split`
};

template <typename C, typename T>
TERCET_CLONES void split_rows(const Piece<C, T>& p, std::int64_t batch, std::int64_t begin, std::int64_t end) {
  const auto half = p.rotary / 2;
  for (std::int64_t t = begin; t < end; ++t) {
    const C *cos = p.cos + t * half, *sin = p.sin + t * half;
    for (std::int64_t h = 0; h < p.heads * p.repeat; ++h) {
      const T* x = p.joined + (batch * p.positions + t) * p.columns + h / p.repeat * p.stride;
      C* y = p.split + ((batch * p.heads * p.repeat + h) * p.positions + t) * p.head_dim;
      for (std::int64_t i = 0; i < half; ++i) {
        const C a = simd::load(x + i), b = simd::load(x + half + i);
        y[i] = a * cos[i] - b * sin[i];
        y[half + i] = b * cos[i] + a * sin[i];
      }
      for (std::int64_t i = p.rotary; i < p.head_dim; ++i) y[i] = simd::load(x + i);
    }
  }
}

// The same backwards: `split` holds gradients and is summed over the copies, then rotated by the opposite angle.
template <typename C, typename T>
TERCET_CLONES void join_rows(const Piece<C, T>& p, T* joined_grad, std::int64_t batch, std::int64_t begin,
                             std::int64_t end) {
  constexpr std::int64_t kLargestHead = 512;
  C sum[kLargestHead];
  const auto half = p.rotary / 2;
  const auto copy_stride = p.positions * p.head_dim;
  for (std::int64_t t = begin; t < end; ++t) {
    const C *cos = p.cos + t * half, *sin = p.sin + t * half;
    for (std::int64_t h = 0; h < p.heads; ++h) {
      const C* g = p.split + ((batch * p.heads + h) * p.repeat * p.positions + t) * p.head_dim;
      for (std::int64_t i = 0; i < p.head_dim; ++i) sum[i] = g[i];
      for (std::int64_t r = 1; r < p.repeat; ++r) {
        for (std::int64_t i = 0; i < p.head_dim; ++i) sum[i] += g[r * copy_stride + i];
      }
      T* y = joined_grad + (batch * p.positions + t) * p.columns + h * p.stride;
      for (std::int64_t i = 0; i < half; ++i) {
        simd::store(y + i, sum[i] * cos[i] + sum[half + i] * sin[i]);
        simd::store(y + half + i, sum[half + i] * cos[i] - sum[i] * sin[i]);
      }
      for (std::int64_t i = p.rotary; i < p.head_dim; ++i) simd::store(y + i, sum[i]);
    }
  }
}

// Calls f(which of q k v, piece, batch, first position, end) over all of them, in parallel over batch and positions.
template <typename C, typename T, typename F>
void over_pieces(const at::Tensor& qkv, const std::array<at::Tensor, 3>& split, const HeadLayout& l,
                 const at::Tensor& cos, const at::Tensor& sin, F f) {
  const auto batch = qkv.size(0), positions = qkv.size(1);
  const std::array<std::int64_t, 3> offsets{0, l.key_offset, l.value_offset};
  std::array<Piece<C, T>, 3> pieces;
  for (std::size_t i = 0; i < 3; ++i) {
    const bool rotated = i < 2 && cos.defined();
    const auto heads = i == 0 ? l.heads : l.kv_heads;
    pieces[i] = {qkv.data_ptr<T>() + offsets[i],
                 split[i].data_ptr<C>(),
                 rotated ? cos.data_ptr<C>() : nullptr,
                 rotated ? sin.data_ptr<C>() : nullptr,
                 rotated ? 2 * cos.size(1) : 0,
                 l.head_dim,
                 l.stride,
                 qkv.size(2),
                 positions,
                 heads,
                 l.heads / heads};
  }
  constexpr std::int64_t kBlock = 32;  // positions handled together: both sides of the transposition stay in cache
  const auto blocks = (positions + kBlock - 1) / kBlock;
  at::parallel_for(0, batch * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto first = i % blocks * kBlock;
      for (std::size_t which = 0; which < 3; ++which) {
        f(which, pieces[which], i / blocks, first, std::min(positions, first + kBlock));
      }
    }
  });
}

struct SplitHeads : torch::autograd::Function<SplitHeads> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& qkv, const std::optional<at::Tensor>& maybe_cos,
                               const std::optional<at::Tensor>& maybe_sin, const HeadLayout& layout) {
    const at::Tensor cos = maybe_cos.value_or(at::Tensor()), sin = maybe_sin.value_or(at::Tensor());
    ctx->save_for_backward({cos, sin});
    ctx->saved_data["layout"] = std::vector<std::int64_t>{layout.heads,  layout.kv_heads,   layout.head_dim,
                                                          layout.stride, layout.key_offset, layout.value_offset};
    ctx->saved_data["columns"] = qkv.size(2);
    ctx->saved_data["type"] = static_cast<std::int64_t>(qkv.scalar_type());
    const auto wide = qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    std::array<at::Tensor, 3> out;
    for (auto& o : out) {
      o = at::empty({qkv.size(0), layout.heads, qkv.size(1), layout.head_dim}, qkv.options().dtype(wide));
    }
    dispatch_pair(wide, qkv.scalar_type(), [&](auto c, auto t) {
      using C = simd::Compute<decltype(c)>;
      using T = decltype(t);
      over_pieces<C, T>(qkv, out, layout, cos, sin,
                        [](std::size_t, const Piece<C, T>& p, std::int64_t batch, std::int64_t begin,
                           std::int64_t end) { split_rows<C, T>(p, batch, begin, end); });
    });
    return {out[0], out[1], out[2]};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto l = ctx->saved_data["layout"].toIntVector();
    const HeadLayout layout{l[0], l[1], l[2], l[3], l[4], l[5]};
    const std::array<at::Tensor, 3> split{grads[0].contiguous(), grads[1].contiguous(), grads[2].contiguous()};
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["type"].toInt());
    at::Tensor joined = at::empty({split[0].size(0), split[0].size(2), ctx->saved_data["columns"].toInt()},
                                  split[0].options().dtype(type));
    dispatch_pair(split[0].scalar_type(), type, [&](auto c, auto t) {
      using C = simd::Compute<decltype(c)>;
      using T = decltype(t);
      over_pieces<C, T>(joined, split, layout, saved[0], saved[1],
                        [&](std::size_t, const Piece<C, T>& p, std::int64_t batch, std::int64_t begin,
                            std::int64_t end) { join_rows<C, T>(p, const_cast<T*>(p.joined), batch, begin, end); });
    });
    return {joined, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor rotated(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const auto half = cos.size(1);
  const at::Tensor a = x.narrow(-1, 0, half), b = x.narrow(-1, half, half);
  const at::Tensor rest = x.narrow(-1, 2 * half, x.size(-1) - 2 * half);
  return at::cat({a * cos - b * sin, b * cos + a * sin, rest.to((a * cos).scalar_type())}, -1).to(x.scalar_type());
}

// [batch, heads, positions, head_dim] of one of q, k, v.
at::Tensor heads_of(const at::Tensor& qkv, const HeadLayout& l, std::int64_t offset, std::int64_t heads) {
  const at::Tensor columns = qkv.narrow(-1, offset, (heads - 1) * l.stride + l.head_dim);
  return columns.unfold(-1, l.head_dim, l.stride).transpose(1, 2);
}

at::Tensor repeated(const at::Tensor& x, std::int64_t copies) {
  if (copies == 1) return x;
  return x.unsqueeze(2).expand({-1, -1, copies, -1, -1}).reshape({x.size(0), -1, x.size(2), x.size(3)});
}

}  // namespace

HeadLayout HeadLayout::blocks(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim) {
  return {heads, kv_heads, head_dim, head_dim, heads * head_dim, (heads + kv_heads) * head_dim};
}

HeadLayout HeadLayout::interleaved(std::int64_t heads, std::int64_t head_dim) {
  return {heads, heads, head_dim, 3 * head_dim, head_dim, 2 * head_dim};
}

Heads split_heads_reference(const at::Tensor& qkv, const HeadLayout& l, const at::Tensor& cos, const at::Tensor& sin) {
  at::Tensor query = heads_of(qkv, l, 0, l.heads);
  at::Tensor key = heads_of(qkv, l, l.key_offset, l.kv_heads);
  const at::Tensor value = heads_of(qkv, l, l.value_offset, l.kv_heads);
  if (cos.defined()) {
    query = rotated(query, cos, sin);
    key = rotated(key, cos, sin);
  }
  const auto copies = l.heads / l.kv_heads;
  return {query, repeated(key, copies), repeated(value, copies)};
}

Heads split_heads(const at::Tensor& qkv, const HeadLayout& layout, const at::Tensor& cos, const at::Tensor& sin) {
  if (!has_cpu_loop(qkv) || layout.head_dim > 512) return split_heads_reference(qkv, layout, cos, sin);
  const auto wide = qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  std::optional<at::Tensor> c, s;  // autograd functions take absent inputs this way only
  if (cos.defined()) {
    c = cos.to(wide);
    s = sin.to(wide);
  }
  auto out = SplitHeads::apply(qkv.contiguous(), c, s, layout);
  return {out[0], out[1], out[2]};
}

}  // namespace tercet
