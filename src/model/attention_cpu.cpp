#include "model/attention_cpu.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "model/small_gemm.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define TERCET_TARGET(arch) __attribute__((target("arch=" arch)))
#else
#define TERCET_TARGET(arch)
#endif

namespace tercet {
namespace {

constexpr std::int64_t kBlock = 36;  // queries handled together: six tiles of six rows

std::int64_t padded(std::int64_t n, std::int64_t to) {
  return (n + to - 1) / to * to;
}

// Scratch of a thread, kept from head to head.
struct Scratch {
  std::vector<float> key_t, value_t, value, key, query, scores, score_grads, out, out_grad, key_grad, value_grad;
};
Scratch& scratch() {
  thread_local Scratch buffers;
  return buffers;
}
float* room(std::vector<float>& buffer, std::int64_t size) {
  if (buffer.size() < static_cast<std::size_t>(size)) buffer.resize(static_cast<std::size_t>(size));
  return buffer.data();
}

// [rows, width] -> [width, padded rows], zeros beyond.
float* transposed(std::vector<float>& buffer, const float* x, std::int64_t rows, std::int64_t width, std::int64_t ld) {
  float* out = room(buffer, width * ld);
  for (std::int64_t d = 0; d < width; ++d) {
    for (std::int64_t t = 0; t < rows; ++t) out[d * ld + t] = x[t * width + d];
    std::fill(out + d * ld + rows, out + (d + 1) * ld, 0.0f);
  }
  return out;
}

// Rows of `width` floats, `stride` apart -> rows of ld floats, zeros beyond.
float* widened(std::vector<float>& buffer, const float* x, std::int64_t rows, std::int64_t width, std::int64_t stride,
               std::int64_t ld) {
  float* out = room(buffer, rows * ld);
  for (std::int64_t t = 0; t < rows; ++t) {
    std::copy(x + t * stride, x + t * stride + width, out + t * ld);
    std::fill(out + t * ld + width, out + (t + 1) * ld, 0.0f);
  }
  return out;
}

// The keys that a block of queries can see, widened to whole tiles.
struct Span {
  std::int64_t first_query, queries, first_key, keys, columns;
};

Span span_of(const AttentionShape& s, std::int64_t first_query, std::int64_t tile) {
  Span p{};
  p.first_query = first_query;
  p.queries = std::min(kBlock, s.positions - first_query);
  p.first_key = std::max<std::int64_t>(0, first_query - s.window + 1) / tile * tile;
  p.keys = first_query + p.queries - p.first_key;
  p.columns = padded(p.keys, tile);
  return p;
}

// Keys of one query as columns of its span.
struct Visible {
  std::int64_t begin, end;
};
TERCET_INLINE Visible visible(const AttentionShape& s, const Span& p, std::int64_t row) {
  const auto query = p.first_query + row;
  return {std::max<std::int64_t>(0, query - s.window + 1 - p.first_key), query + 1 - p.first_key};
}

// scores -> exp(scale * score - largest), zeros where not visible; the row's denominator and log of it.
struct RowSum {
  float sum, log_sum;
};
TERCET_INLINE RowSum softmax_row(float* row, Visible v, std::int64_t columns, float scale) {
  const auto n = v.end - v.begin;
  float* x = row + v.begin;
  const float largest = simd::largest_of<float>(n, -INFINITY, [&](std::int64_t i) { return x[i]; }) * scale;
  for (std::int64_t i = 0; i < n; ++i) x[i] = simd::exp(x[i] * scale - largest);
  const float sum = simd::sum_lanes<float>(n, [&](std::int64_t i) { return x[i]; });
  std::fill(row, x, 0.0f);
  std::fill(x + n, row + columns, 0.0f);
  return {sum, largest + std::log(sum)};
}

template <int Lanes>
TERCET_INLINE void forward_head(const AttentionShape& s, const AttentionForward& w, std::int64_t batch,
                                std::int64_t head) {
  constexpr std::int64_t kTile = 2 * Lanes;
  const auto unit = (batch * s.heads + head) * s.positions;
  const auto ld = padded(s.positions, kTile), wide = padded(s.head_dim, kTile);
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  Scratch& b = scratch();
  const float* query = w.query + unit * s.head_dim;
  const float* key_t = transposed(b.key_t, w.key + unit * s.head_dim, s.positions, s.head_dim, ld);
  const float* value = widened(b.value, w.value + unit * s.head_dim, s.positions, s.head_dim, s.head_dim, wide);
  float *scores = room(b.scores, kBlock * ld), *out = room(b.out, kBlock * wide);
  for (std::int64_t first = 0; first < s.positions; first += kBlock) {
    const Span p = span_of(s, first, kTile);
    simd::gemm<Lanes, false>(p.queries, p.columns, s.head_dim, {query + first * s.head_dim, s.head_dim, 1},
                             key_t + p.first_key, ld, scores, ld);
    float sums[kBlock];
    for (std::int64_t r = 0; r < p.queries; ++r) {
      const RowSum row = softmax_row(scores + r * ld, visible(s, p, r), p.columns, scale);
      sums[r] = row.sum;
      w.log_sums[unit + first + r] = row.log_sum;
    }
    simd::gemm<Lanes, false>(p.queries, wide, p.keys, {scores, ld, 1}, value + p.first_key * wide, wide, out, wide);
    for (std::int64_t r = 0; r < p.queries; ++r) {
      float* y = w.out + ((batch * s.positions + first + r) * s.heads + head) * s.head_dim;
      for (std::int64_t i = 0; i < s.head_dim; ++i) y[i] = out[r * wide + i] / sums[r];
    }
  }
}

// Probabilities from scores, and the gradient of the scores from that of the probabilities:
// dS = P (dP - sum(dO O)) scale (Dao 2022, algorithm 4).
TERCET_INLINE void score_gradients(const AttentionShape& s, const Span& p, const float* log_sums, const float* deltas,
                                   float scale, float* scores, float* grads, std::int64_t ld) {
  for (std::int64_t r = 0; r < p.queries; ++r) {
    const Visible v = visible(s, p, r);
    float *x = scores + r * ld, *g = grads + r * ld;
    const float log_sum = log_sums[r], delta = deltas[r];
    for (std::int64_t i = v.begin; i < v.end; ++i) {
      x[i] = simd::exp(x[i] * scale - log_sum);
      g[i] = x[i] * (g[i] - delta) * scale;
    }
    std::fill(x, x + v.begin, 0.0f);
    std::fill(x + v.end, x + p.columns, 0.0f);
    std::fill(g, g + v.begin, 0.0f);
    std::fill(g + v.end, g + p.columns, 0.0f);
  }
}

TERCET_INLINE void narrowed(const float* x, std::int64_t rows, std::int64_t ld, std::int64_t width, float* out) {
  for (std::int64_t t = 0; t < rows; ++t) std::copy(x + t * ld, x + t * ld + width, out + t * width);
}

template <int Lanes>
TERCET_INLINE void backward_head(const AttentionShape& s, const AttentionBackward& w, std::int64_t batch,
                                 std::int64_t head) {
  constexpr std::int64_t kTile = 2 * Lanes;
  const auto unit = (batch * s.heads + head) * s.positions, columns = s.heads * s.head_dim, d = s.head_dim;
  const auto ld = padded(s.positions, kTile), wide = padded(d, kTile);
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  Scratch& b = scratch();
  const float* query = w.query + unit * d;
  const float* key_t = transposed(b.key_t, w.key + unit * d, s.positions, d, ld);
  const float* value_t = transposed(b.value_t, w.value + unit * d, s.positions, d, ld);
  const float* key = widened(b.key, w.key + unit * d, s.positions, d, d, wide);
  float *scores = room(b.scores, kBlock * ld), *grads = room(b.score_grads, kBlock * ld);
  float *query_grad = room(b.out, kBlock * wide), *key_grad = room(b.key_grad, s.positions * wide);
  float* value_grad = room(b.value_grad, s.positions * wide);
  std::fill(key_grad, key_grad + s.positions * wide, 0.0f);
  std::fill(value_grad, value_grad + s.positions * wide, 0.0f);
  for (std::int64_t first = 0; first < s.positions; first += kBlock) {
    const Span p = span_of(s, first, kTile);
    const auto row0 = (batch * s.positions + first) * columns + head * d;
    const float* out_grad = widened(b.out_grad, w.out_grad + row0, p.queries, d, columns, wide);
    const float* queries = widened(b.query, query + first * d, p.queries, d, d, wide);
    float deltas[kBlock];
    for (std::int64_t r = 0; r < p.queries; ++r) {
      const float *o = w.out + row0 + r * columns, *g = out_grad + r * wide;
      deltas[r] = simd::sum_lanes<float>(d, [&](std::int64_t i) { return o[i] * g[i]; });
    }
    simd::gemm<Lanes, false>(p.queries, p.columns, d, {queries, wide, 1}, key_t + p.first_key, ld, scores, ld);
    simd::gemm<Lanes, false>(p.queries, p.columns, d, {out_grad, wide, 1}, value_t + p.first_key, ld, grads, ld);
    score_gradients(s, p, w.log_sums + unit + first, deltas, scale, scores, grads, ld);
    const auto k0 = p.first_key * wide;
    simd::gemm<Lanes, false>(p.queries, wide, p.keys, {grads, ld, 1}, key + k0, wide, query_grad, wide);
    simd::gemm<Lanes, true>(p.keys, wide, p.queries, {grads, 1, ld}, queries, wide, key_grad + k0, wide);
    simd::gemm<Lanes, true>(p.keys, wide, p.queries, {scores, 1, ld}, out_grad, wide, value_grad + k0, wide);
    narrowed(query_grad, p.queries, wide, d, w.query_grad + (unit + first) * d);
  }
  narrowed(key_grad, s.positions, wide, d, w.key_grad + unit * d);
  narrowed(value_grad, s.positions, wide, d, w.value_grad + unit * d);
}

template <int Lanes>
TERCET_INLINE void last_position(const LastPosition& w) {
  const std::int64_t tile0 = w.first / kKeptTile, begin = tile0 * kKeptTile, keys = w.end - begin;
  const std::int64_t columns = padded(keys, kKeptTile);
  const float scale = 1.0f / std::sqrt(static_cast<float>(w.head_dim));
  Scratch& b = scratch();
  float *scores = room(b.scores, w.queries * columns), *out = room(b.out, w.queries * w.width);
  for (std::int64_t t = 0; t < columns; t += kKeptTile) {
    simd::gemm<Lanes, false>(w.queries, kKeptTile, w.head_dim, {w.query, w.head_dim, 1},
                             w.keys + (begin + t) * w.head_dim, kKeptTile, scores + t, columns);
  }
  float* sums = room(b.score_grads, w.queries);
  for (std::int64_t r = 0; r < w.queries; ++r) {
    sums[r] = softmax_row(scores + r * columns, {w.first - begin, keys}, columns, scale).sum;
  }
  simd::gemm<Lanes, false>(w.queries, w.width, keys, {scores, columns, 1}, w.values + begin * w.width, w.width, out,
                           w.width);
  for (std::int64_t r = 0; r < w.queries; ++r) {
    for (std::int64_t i = 0; i < w.head_dim; ++i) w.out[r * w.head_dim + i] = out[r * w.width + i] / sums[r];
  }
}

TERCET_TARGET("x86-64-v4")
void last_512(const LastPosition& w) {
  last_position<16>(w);
}
TERCET_TARGET("x86-64-v3")
void last_256(const LastPosition& w) {
  last_position<8>(w);
}
TERCET_TARGET("x86-64-v4")
void forward_512(const AttentionShape& s, const AttentionForward& w, std::int64_t b, std::int64_t h) {
  forward_head<16>(s, w, b, h);
}
TERCET_TARGET("x86-64-v3")
void forward_256(const AttentionShape& s, const AttentionForward& w, std::int64_t b, std::int64_t h) {
  forward_head<8>(s, w, b, h);
}
TERCET_TARGET("x86-64-v4")
void backward_512(const AttentionShape& s, const AttentionBackward& w, std::int64_t b, std::int64_t h) {
  backward_head<16>(s, w, b, h);
}
TERCET_TARGET("x86-64-v3")
void backward_256(const AttentionShape& s, const AttentionBackward& w, std::int64_t b, std::int64_t h) {
  backward_head<8>(s, w, b, h);
}

// Floats per register that the machine computes with: 16, 8, or 0 where ATen does the work. The levels v4 and v3 by
// their features: GCC 11 does not know the names of the levels here.
int lanes() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  static const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                         __builtin_cpu_supports("avx512vl");
  return v4 ? 16 : v3 ? 8 : 0;
#else
  return 0;
#endif
}

}  // namespace

bool attention_cpu_supported() {
  return lanes() > 0;
}

void attention_forward(const AttentionShape& shape, const AttentionForward& work, std::int64_t batch,
                       std::int64_t head) {
  lanes() == 16 ? forward_512(shape, work, batch, head) : forward_256(shape, work, batch, head);
}

void attention_backward(const AttentionShape& shape, const AttentionBackward& work, std::int64_t batch,
                        std::int64_t head) {
  lanes() == 16 ? backward_512(shape, work, batch, head) : backward_256(shape, work, batch, head);
}

void attention_last(const LastPosition& work) {
  lanes() == 16 ? last_512(work) : last_256(work);
}

}  // namespace tercet
