// The packed kernels beside LibTorch's float ones and the memory's read bandwidth. Weights come from memory: each
// contender goes round through matrices of more than 512 MB in all. The quantization of activations is inside the
// timing.
//
// Usage: kernels_bench THREADS ROWS COLUMNS TOKENS [arguments of Google Benchmark]; names are
// contender/ROWSxCOLUMNS/TOKENS. tests/bench/kernels.sh runs it and makes the table.
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cold.hpp"
#ifdef TERCET_GGML
#include "ggml_contender.hpp"
#endif
#include "tercet/base/simd.hpp"
#include "tercet/kernels/packed_matrix.hpp"
#include "tercet/quant/number_format.hpp"

namespace {

using tercet::InstructionSet;
using tercet::PackedMatrix;
using tercet::bench::Circle;

struct Shape {
  std::int64_t rows, columns, tokens;
  std::string name() const {
    return std::to_string(rows) + "x" + std::to_string(columns) + "/" + std::to_string(tokens);
  }
};

// Made when it is first asked for by that name: Google Benchmark calls a benchmark many times.
template <typename T, typename Make>
Circle<T>& circle(const std::string& name, std::uint64_t bytes_of_each, Make make) {
  static std::map<std::string, Circle<T>> known;
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  return known.emplace(name, tercet::bench::cold_circle<T>(bytes_of_each, make)).first->second;
}

tercet::StoredTensor random_codes(const Shape& shape, const tercet::FormatSpec& spec) {
  const tercet::LevelRange range = spec.format->levels(true);
  const at::Tensor levels = at::randint(range.lowest, range.highest + 1, {shape.rows, shape.columns}, at::kChar);
  const at::Tensor scales = at::rand(tercet::scale_shape(shape.rows, shape.columns, spec)).to(at::kHalf);
  return tercet::pack({levels, scales, {}}, spec);
}

void report(benchmark::State& state, std::uint64_t bytes, const Shape& shape) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
  state.counters["MAC/s"] = benchmark::Counter(static_cast<double>(shape.rows * shape.columns * shape.tokens),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

benchmark::internal::Benchmark* add(const std::string& name, std::function<void(benchmark::State&)> body) {
  return benchmark::RegisterBenchmark(name.c_str(), std::move(body))->Unit(benchmark::kMicrosecond)->UseRealTime();
}

void add_packed(const std::string& format, std::int64_t group, InstructionSet set, const Shape& shape) {
  const auto granularity = group == 0 ? tercet::Granularity::kChannel : tercet::Granularity::kGroup;
  tercet::FormatSpec spec{tercet::number_format(format), granularity, group};
  if (!format.starts_with("ternary")) spec.rule = tercet::ScaleRule::kMinMax;
  const std::string name = format + (group == 0 ? " channel" : " g" + std::to_string(group));
  add(name + " " + to_string(set) + "/" + shape.name(), [=](benchmark::State& state) {
    const std::uint64_t bytes = stored_bytes(tercet::unfilled({shape.rows, shape.columns}, spec));
    auto& weights = circle<PackedMatrix>(name, bytes, [&] { return PackedMatrix(random_codes(shape, spec)); });
    const at::Tensor x = at::randn({shape.tokens, shape.columns});
    for (auto _ : state) benchmark::DoNotOptimize(multiply(tercet::quantize_tokens(x), weights.next(), set));
    report(state, bytes, shape);
  });
}

void add_linear(const std::string& name, at::ScalarType type, const Shape& shape) {
  add(name + "/" + shape.name(), [=](benchmark::State& state) {
    const at::NoGradGuard no_grad;
    const std::uint64_t bytes = static_cast<std::uint64_t>(shape.rows * shape.columns) * at::elementSize(type);
    auto& weights = circle<at::Tensor>(name, bytes, [&] {
      return at::full({shape.rows, shape.columns}, 0.01).to(type);
    });
    const at::Tensor x = at::randn({shape.tokens, shape.columns}).to(type);
    for (auto _ : state) benchmark::DoNotOptimize(at::linear(x, weights.next()));
    report(state, bytes, shape);
  });
}

// oneDNN with the weight in its own order beforehand, by the operators that torch.compile uses for it.
at::Tensor reordered(const at::Tensor& weight, std::int64_t tokens) {
  static const auto reorder = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_linear_weight", "");
  std::vector<c10::IValue> stack{weight, c10::IValue(tokens)};
  reorder.callBoxed(stack);
  return stack.at(0).toTensor();
}

at::Tensor prepacked_linear(const at::Tensor& x, const at::Tensor& weight) {
  static const auto linear = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "");
  std::vector<c10::IValue> stack{x,
                                 weight,
                                 c10::IValue(),
                                 c10::IValue("none"),
                                 c10::IValue(c10::List<std::optional<at::Scalar>>()),
                                 c10::IValue("")};
  linear.callBoxed(stack);
  return stack.at(0).toTensor();
}

void add_prepacked(const Shape& shape) {
  add("bf16 prepacked/" + shape.name(), [=](benchmark::State& state) {
    const at::NoGradGuard no_grad;
    const std::uint64_t bytes = static_cast<std::uint64_t>(shape.rows * shape.columns) * 2;
    auto& weights = circle<at::Tensor>("bf16 prepacked", bytes, [&] {
      return reordered(at::full({shape.rows, shape.columns}, 0.01).to(at::kBFloat16), shape.tokens);
    });
    const at::Tensor x = at::randn({shape.tokens, shape.columns}).to(at::kBFloat16);
    for (auto _ : state) benchmark::DoNotOptimize(prepacked_linear(x, weights.next()));
    report(state, bytes, shape);
  });
}

#ifdef TERCET_GGML
void add_ggml(const std::string& type, const Shape& shape) {
  add("llama.cpp " + type + "/" + shape.name(), [=](benchmark::State& state) {
    using tercet::bench::GgmlMatrix;
    const auto make = [&] { return GgmlMatrix(type, shape.rows, shape.columns, shape.tokens, at::get_num_threads()); };
    const std::uint64_t bytes = make().bytes();
    auto& weights = circle<GgmlMatrix>("llama.cpp " + type, bytes, make);
    for (auto _ : state) weights.next().multiply();
    report(state, bytes, shape);
  });
}
#endif

// What one pass over memory takes: 16 sums of 64-bit words, no arithmetic to speak of.
TERCET_CLONES std::uint64_t sum_words(const std::uint64_t* words, std::int64_t begin, std::int64_t end) {
  std::uint64_t sums[16] = {};
  for (std::int64_t i = begin; i + 16 <= end; i += 16) {
    for (int j = 0; j < 16; ++j) sums[j] += words[i + j];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t part : sums) sum += part;
  return sum;
}

void add_roof(const Shape& shape) {
  add("read/" + shape.name(), [=](benchmark::State& state) {
    const std::int64_t words = shape.rows * shape.columns / 4 / 8;
    auto& pieces =
        circle<at::Tensor>("read", static_cast<std::uint64_t>(8 * words), [&] { return at::ones({words}, at::kLong); });
    for (auto _ : state) {
      const auto* data = reinterpret_cast<const std::uint64_t*>(pieces.next().const_data_ptr<std::int64_t>());
      at::parallel_for(0, words, words / at::get_num_threads(), [&](std::int64_t begin, std::int64_t end) {
        benchmark::DoNotOptimize(sum_words(data, begin, end));
      });
    }
    report(state, static_cast<std::uint64_t>(8 * words), shape);
  });
}

void add_all(const Shape& shape) {
  add_roof(shape);
  for (const auto set : {InstructionSet::kAvx512, InstructionSet::kAvx2}) {
    if (set > tercet::best_instruction_set()) continue;
    add_packed("ternary", 0, set, shape);
    add_packed("ternary", 128, set, shape);
  }
  add_packed("ternary", 64, tercet::best_instruction_set(), shape);
  add_packed("int4", 128, tercet::best_instruction_set(), shape);
  add_packed("int8", 0, tercet::best_instruction_set(), shape);
  add_linear("fp32 linear", at::kFloat, shape);
  add_linear("bf16 linear", at::kBFloat16, shape);
  add_prepacked(shape);
#ifdef TERCET_GGML
  add_ggml("tq2_0", shape);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kOwn = 4;
  if (argc <= kOwn) {
    std::fprintf(stderr, "usage: %s THREADS ROWS COLUMNS TOKENS [arguments of Google Benchmark]\n", argv[0]);
    return 64;
  }
  at::set_num_threads(std::stoi(argv[1]));
  add_all({std::stoll(argv[2]), std::stoll(argv[3]), std::stoll(argv[4])});
  tercet::bench::run_registered(argc, argv, kOwn);
  return 0;
}
