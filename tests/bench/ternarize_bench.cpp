// From a float32 matrix to packed absmean trits: Tercet's one pass, its two steps (fit, then pack), and LibTorch's
// tensor operations. Matrices come from memory: each contender goes round through more than 512 MB of them.
//
// Usage: ternarize_bench THREADS ROWS COLUMNS [arguments of Google Benchmark]; names are
// contender/ROWSxCOLUMNS/granularity. tests/bench/kernels.sh runs it and makes the table.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/bitwise_left_shift.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>

#include <cstdio>
#include <functional>
#include <string>

#include "cold.hpp"
#include "tercet/quant/number_format.hpp"

namespace {

using tercet::FormatSpec;
using tercet::Granularity;
using tercet::StoredTensor;

struct Matrices {
  std::string name;  // ROWSxCOLUMNS
  tercet::bench::Circle<at::Tensor> circle;
  const at::Tensor& next() { return circle.next(); }
};

Matrices random_matrices(std::int64_t rows, std::int64_t columns) {
  return {std::to_string(rows) + "x" + std::to_string(columns),
          tercet::bench::cold_circle<at::Tensor>(static_cast<std::uint64_t>(4 * rows * columns), [&] {
            return at::randn({rows, columns}) * 0.02;
          })};
}

// One scale a row of `blocks`; codes as Tercet packs them. Whatever can be is done in place.
StoredTensor by_libtorch(const at::Tensor& weight, const FormatSpec& spec) {
  const std::int64_t rows = weight.size(0), columns = weight.size(1);
  const bool whole = spec.granularity == Granularity::kTensor;
  const at::Tensor blocks = whole                                       ? weight.view({1, -1})
                            : spec.granularity == Granularity::kChannel ? weight
                                                                        : weight.view({-1, spec.group_size});
  const at::Tensor mean = blocks.abs().mean(1, true).clamp_min_(1e-5);
  const at::Tensor trits = blocks.div(mean).round_().clamp_(-1, 1);
  const at::Tensor fours = trits.add_(1).to(at::kByte).view({rows, columns / 4, 4});
  at::Tensor codes = fours.select(2, 0).contiguous();
  for (int k = 1; k < 4; ++k) codes.bitwise_or_(at::bitwise_left_shift(fours.select(2, k), 2 * k));
  return {spec, {rows, columns}, codes, mean.to(at::kHalf).view(tercet::scale_shape(rows, columns, spec)), {}};
}

void add(const std::string& contender, Matrices& matrices, const FormatSpec& spec,
         const std::function<StoredTensor(const at::Tensor&, const FormatSpec&)>& make) {
  const bool by_group = spec.granularity == Granularity::kGroup;
  const std::string by =
      "by " + to_string(spec.granularity) + (by_group ? " of " + std::to_string(spec.group_size) : "");
  const auto body = [=, &matrices](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(make(matrices.next(), spec));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(matrices.next().nbytes()));
  };
  benchmark::RegisterBenchmark((contender + "/" + matrices.name + "/" + by).c_str(), body)
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

// LibTorch sums in another order, so that a weight beside a threshold may differ.
bool agree(const at::Tensor& weight, const FormatSpec& spec) {
  const StoredTensor ours = store(weight, spec), theirs = by_libtorch(weight, spec);
  return unpack_levels(ours).ne(unpack_levels(theirs)).sum().item<std::int64_t>() < weight.numel() / 100'000;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kOwn = 3;
  if (argc <= kOwn) {
    std::fprintf(stderr, "usage: %s THREADS ROWS COLUMNS [arguments of Google Benchmark]\n", argv[0]);
    return 64;
  }
  at::set_num_threads(std::stoi(argv[1]));
  Matrices matrices = random_matrices(std::stoll(argv[2]), std::stoll(argv[3]));
  for (const Granularity by : {Granularity::kTensor, Granularity::kChannel, Granularity::kGroup}) {
    const FormatSpec spec{tercet::number_format("ternary"), by, 128};
    if (!agree(matrices.next(), spec)) {
      std::fprintf(stderr, "LibTorch finds other trits\n");
      return 70;
    }
    add("one pass", matrices, spec, [](const at::Tensor& w, const FormatSpec& s) { return store(w, s); });
    add("fit, then pack", matrices, spec,
        [](const at::Tensor& w, const FormatSpec& s) { return pack(quantize(w, s), s); });
    add("LibTorch", matrices, spec, by_libtorch);
  }
  tercet::bench::run_registered(argc, argv, kOwn);
  return 0;
}
