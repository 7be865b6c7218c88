// The packed kernels on a GPU beside cuBLAS in bf16 and the memory's own bandwidth, all in one run. Weights come from
// the GPU's memory: each contender goes round through matrices of more than 512 MB in all. The quantization of
// activations is inside the timing. Launches are recorded in a CUDA graph and replayed, as a server would decode.
//
// Usage: gpu_bench [rounds]; prints a table in Markdown. Needs a GPU.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tercet/comm/runtime.hpp"
#include "tercet/kernels/packed_matrix.hpp"
#include "tercet/quant/number_format.hpp"

namespace {

using namespace tercet;

constexpr double kColdBytes = 540e6;

void check(cudaError_t code) {
  if (code != cudaSuccess) throw std::runtime_error(cudaGetErrorString(code));
}

struct Timing {
  double median = 0, fastest = 0, slowest = 0;  // seconds of one product
};

// `calls` of a contender as one graph, replayed `rounds` times.
class Contender {
 public:
  Contender(std::string name, double bytes, int calls, const std::function<void(int)>& call)
      : name_(std::move(name)), bytes_(bytes), calls_(calls) {
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    for (int i = 0; i < 3; ++i) call(i);  // loads modules, makes workspaces, fills the allocator's cache
    check(cudaStreamSynchronize(stream));
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    for (int i = 0; i < calls; ++i) call(i);
    check(cudaStreamEndCapture(stream, &graph));
    check(cudaGraphInstantiate(&graph_, graph, 0));
    check(cudaEventCreate(&begin_));
    check(cudaEventCreate(&end_));
    run_once();
    seconds_.clear();
  }
  void run_once() {
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    check(cudaEventRecord(begin_, stream));
    check(cudaGraphLaunch(graph_, stream));
    check(cudaEventRecord(end_, stream));
    check(cudaEventSynchronize(end_));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_));
    seconds_.push_back(1e-3 * milliseconds / calls_);
  }
  Timing timing() const {
    std::vector<double> sorted = seconds_;
    std::sort(sorted.begin(), sorted.end());
    return {sorted[sorted.size() / 2], sorted.front(), sorted.back()};
  }
  const std::string& name() const { return name_; }
  double bytes() const { return bytes_; }

 private:
  std::string name_;
  double bytes_;
  int calls_;
  cudaGraphExec_t graph_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  std::vector<double> seconds_;
};

FormatSpec spec_of(const std::string& name, Granularity granularity, std::int64_t group) {
  const bool ternary = name == "ternary";
  return {number_format(name), granularity, group, ternary ? ScaleRule::kAbsmean : ScaleRule::kMinMax, true};
}

int copies_of(double bytes) {
  return std::max(4, static_cast<int>(kColdBytes / bytes) + 1);
}

class Shape {
 public:
  Shape(std::int64_t rows, std::int64_t columns, std::int64_t tokens, int rounds)
      : rows_(rows), columns_(columns), tokens_(tokens), rounds_(rounds) {
    x_ = at::randn({tokens, columns}, at::TensorOptions(at::kFloat).device(at::kCUDA));
    half_x_ = x_.to(at::kBFloat16);
  }

  void measure(double bandwidth) {
    std::vector<Contender> contenders;
    contenders.reserve(4);
    contenders.push_back(float_product());
    contenders.push_back(packed("ternary", Granularity::kChannel, 0));
    contenders.push_back(packed("ternary", Granularity::kGroup, 128));
    contenders.push_back(packed("int4", Granularity::kGroup, 128));
    for (int round = 0; round < rounds_; ++round) {
      for (Contender& contender : contenders) contender.run_once();
    }
    const double reference = contenders.front().timing().median;
    for (const Contender& contender : contenders) {
      const Timing t = contender.timing();
      std::printf("| %lld × %lld | %lld | %s | %.2f (%.2f to %.2f) | %.2f | %.0f %% |\n", static_cast<long long>(rows_),
                  static_cast<long long>(columns_), static_cast<long long>(tokens_), contender.name().c_str(),
                  1e6 * t.median, 1e6 * t.fastest, 1e6 * t.slowest, reference / t.median,
                  100 * contender.bytes() / t.median / bandwidth);
    }
    std::fflush(stdout);
  }

 private:
  Contender float_product() {
    const double bytes = 2.0 * static_cast<double>(rows_ * columns_);
    const int count = copies_of(bytes);
    for (int i = 0; i < count; ++i) {
      halves_.push_back(at::randn({rows_, columns_}, half_x_.options().dtype(at::kFloat)).to(at::kBFloat16).t());
      half_y_.push_back(at::empty({tokens_, rows_}, half_x_.options()));
    }
    return Contender("cuBLAS bf16", bytes, count, [this](int i) {
      at::mm_out(half_y_[static_cast<std::size_t>(i)], half_x_, halves_[static_cast<std::size_t>(i)]);
    });
  }

  // The same codes in every copy; what counts is that each lies at another place.
  Contender packed(const std::string& format, Granularity granularity, std::int64_t group) {
    const FormatSpec spec = spec_of(format, granularity, group);
    const LevelRange range = spec.format->levels(true);
    const at::Tensor levels = at::randint(range.lowest, range.highest + 1, {rows_, columns_}, at::kChar);
    const at::Tensor scales = at::rand(scale_shape(rows_, columns_, spec)).to(at::kHalf);
    const PackedMatrix on_host(pack({levels, scales, {}}, spec));
    const auto bytes = static_cast<double>(on_host.bytes());
    const int count = copies_of(bytes);
    const std::size_t first = matrices_.size();
    for (int i = 0; i < count; ++i) matrices_.push_back(on_host.to("cuda:0"));
    const std::string name = format + (group == 0 ? ", a scale per channel" : ", groups of " + std::to_string(group));
    return Contender(name, bytes, count, [this, first](int i) {
      multiply(quantize_tokens(x_), matrices_[first + static_cast<std::size_t>(i)]);
    });
  }

  std::int64_t rows_, columns_, tokens_;
  int rounds_;
  at::Tensor x_, half_x_;
  std::vector<at::Tensor> halves_, half_y_;
  std::vector<PackedMatrix> matrices_;
};

// Bytes per second, read and written, of a copy within the GPU's memory.
double copy_bandwidth(int rounds) {
  const at::Tensor from = at::ones({std::int64_t{1} << 28}, at::TensorOptions(at::kFloat).device(at::kCUDA));
  const at::Tensor to = at::empty_like(from);
  Contender copy("copy", 2.0 * static_cast<double>(from.nbytes()), 4, [&](int) { to.copy_(from); });
  for (int round = 0; round < rounds; ++round) copy.run_once();
  return copy.bytes() / copy.timing().median;
}

void run(int rounds) {
  const at::NoGradGuard no_grad;
  const c10::cuda::CUDAStreamGuard own_stream(c10::cuda::getStreamFromPool());  // the default stream records no graph
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0));
  const double bandwidth = copy_bandwidth(rounds);
  std::printf("%s; a copy within its memory: %.0f GB/s read and written; median of %d rounds.\n\n", properties.name,
              bandwidth / 1e9, rounds);
  std::printf("| matrix | tokens | contender | us (fastest to slowest) | times bf16 | share of the bandwidth |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (const auto& [rows, columns] :
       {std::pair<std::int64_t, std::int64_t>{14336, 4096}, {4096, 14336}, {4096, 4096}}) {
    for (const std::int64_t tokens : {1, 2, 4, 8, 16, 128, 1024})
      Shape(rows, columns, tokens, rounds).measure(bandwidth);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (cuda_device_count() == 0) {
    std::fprintf(stderr, "there is no GPU here\n");
    return 77;
  }
  run(argc > 1 ? std::atoi(argv[1]) : 30);
  return 0;
}
