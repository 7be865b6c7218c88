// For benchmarks whose operands come from memory, and not from a cache.
#pragma once

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tercet::bench {

constexpr std::int64_t kColdBytes = 540'000'000;

// The next of several things in a circle, so that none is in a cache when its turn comes again.
template <typename T>
class Circle {
 public:
  explicit Circle(std::vector<T> things) : things_(std::move(things)) {}
  const T& next() { return things_[at_++ % things_.size()]; }

 private:
  std::vector<T> things_;
  std::size_t at_ = 0;
};

// Things of `bytes_of_each` bytes, as many as are not in a cache together.
template <typename T, typename Make>
Circle<T> cold_circle(std::uint64_t bytes_of_each, Make make) {
  std::vector<T> things;
  for (std::uint64_t bytes = 0; bytes < kColdBytes; bytes += bytes_of_each) things.push_back(make());
  return Circle<T>(std::move(things));
}

// Runs what is registered; the first `own` arguments are the program's and not Google Benchmark's.
inline void run_registered(int argc, char** argv, int own) {
  argc -= own;
  for (int i = 1; i < argc; ++i) argv[i] = argv[i + own];
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::RunSpecifiedBenchmarks();
}

}  // namespace tercet::bench
