#include "tercet/generate/speed.hpp"
#include "tercet/base/clock.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#if TERCET_HAVE_CUDA
#include <cuda_runtime_api.h>
#endif

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/simd.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {
namespace {

struct Pass {
  double prefill, decode;  // tokens/s
};

Pass one_pass(const Decoder& model, const SpeedOptions& options) {
  heartbeat::beat();
  const std::int64_t vocabulary = model.config().vocab_size;
  const c10::Device device = model.device();
  KeyValueCache cache(model.config(), options.prompt_tokens + options.new_tokens, device.str());
  const at::Tensor prompt =
      at::arange(options.prompt_tokens, at::kLong).mul(7).remainder(vocabulary).unsqueeze(0).to(device);
  auto begin = Clock::now();
  model.next_logits(prompt, cache).to(at::kCPU);  // where a token would be chosen
  const double prefill = static_cast<double>(options.prompt_tokens) / seconds_since(begin);
  begin = Clock::now();
  for (std::int64_t i = 0; i < options.new_tokens; ++i) {
    heartbeat::beat();
    model.next_logits(at::full({1, 1}, i * 5 % vocabulary, at::kLong).to(device), cache).to(at::kCPU);
  }
  return {prefill, static_cast<double>(options.new_tokens) / seconds_since(begin)};
}

Rate rate_of(const std::vector<Pass>& passes, double Pass::*which) {
  std::vector<double> values;
  for (const Pass& pass : passes) values.push_back(pass.*which);
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

TERCET_CLONES std::int64_t sum_words(const std::int64_t* words, std::int64_t count) {
  return simd::sum_lanes<std::int64_t>(count, [&](std::int64_t i) { return words[i]; });
}

}  // namespace

std::uint64_t bytes_read_per_token(const Decoder& model) {
  std::uint64_t bytes = 0;
  for (const Parameter& parameter : model.parameters()) {
    const bool row_alone =
        parameter.role == Role::kPositionEmbedding || (parameter.role == Role::kEmbedding && !model.config().tied_head);
    if (row_alone) continue;
    bytes += parameter.packed != nullptr ? parameter.packed->bytes() : parameter.value.nbytes();
  }
  return bytes;
}

std::vector<Speed> measure_speed(const std::vector<const Decoder*>& models, const SpeedOptions& options) {
  std::vector<std::vector<Pass>> passes(models.size());
  for (std::int64_t round = 0; round <= options.repetitions; ++round) {
    for (std::size_t i = 0; i < models.size(); ++i) {
      const Pass pass = one_pass(*models[i], options);
      if (round > 0) passes[i].push_back(pass);
    }
  }
  std::vector<Speed> speeds;
  for (std::size_t i = 0; i < models.size(); ++i) {
    speeds.push_back(
        {rate_of(passes[i], &Pass::prefill), rate_of(passes[i], &Pass::decode), bytes_read_per_token(*models[i])});
  }
  return speeds;
}

SpeedOptions options_within(const std::vector<const Decoder*>& models, double seconds) {
  constexpr std::int64_t kPrompt = 16, kFewestTokens = 4, kMostTokens = 64;
  constexpr std::int64_t kFewestRounds = 3, kUsualRounds = 5, kMostRounds = 25;
  std::int64_t positions = kPrompt + kMostTokens;
  for (const Decoder* model : models) positions = std::min(positions, model->config().max_positions);
  SpeedOptions options;
  options.prompt_tokens = std::clamp<std::int64_t>(positions - kFewestTokens, 1, kPrompt);
  options.new_tokens = std::min(kFewestTokens, positions - options.prompt_tokens);
  double prompt_s = 0, token_s = 0;  // of all models together
  for (const Decoder* model : models) {
    one_pass(*model, options);  // with cold caches
    const Pass pass = one_pass(*model, options);
    prompt_s += static_cast<double>(options.prompt_tokens) / pass.prefill;
    token_s += 1 / pass.decode;
  }
  const double round_s = seconds / (kUsualRounds + 1);  // the first one is not counted
  const double tokens = std::clamp((round_s - prompt_s) / token_s, double{kFewestTokens}, double{kMostTokens});
  options.new_tokens = std::min(static_cast<std::int64_t>(tokens), positions - options.prompt_tokens);
  const double rounds = seconds / (prompt_s + static_cast<double>(options.new_tokens) * token_s) - 1;
  options.repetitions = static_cast<std::int64_t>(std::clamp(rounds, double{kFewestRounds}, double{kMostRounds}));
  return options;
}

Decoder in_bfloat16(Decoder model) {
  for (Parameter& parameter : model.parameters()) {
    if (parameter.value.dim() == 2 && parameter.role != Role::kPositionEmbedding)
      parameter.value = parameter.value.to(at::kBFloat16);
  }
  return model;
}

namespace {

std::uint64_t cache_of_processor() {
  std::uint64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
    std::uint64_t kilobytes = 0;
    if (file >> kilobytes) largest = std::max(largest, kilobytes << 10);  // "32768K"
  }
  return largest;
}

MemoryFigures memory_of_gpu(const std::string& device) {
  constexpr int kTries = 8;
  MemoryFigures figures;
  const at::Tensor block = at::ones({std::int64_t{64} << 20}, at::TensorOptions(at::kFloat).device(at::Device(device)));
  for (int i = 0; i < kTries; ++i) {
    const auto begin = Clock::now();
    at::Tensor sum;
    for (int pass = 0; pass < kTries; ++pass) sum = block.max();
    sum.item<float>();
    figures.read_bytes_per_s =
        std::max(figures.read_bytes_per_s, kTries * static_cast<double>(block.nbytes()) / seconds_since(begin));
  }
  figures.last_level_cache = last_level_cache(device);
  return figures;
}

}  // namespace

MemoryFigures measure_memory(const std::string& device) {
  if (device != "cpu") return memory_of_gpu(device);
  constexpr std::int64_t kWords = std::int64_t{32} << 20;
  constexpr int kTries = 8;
  const at::Tensor block = at::ones({kWords}, at::kLong);
  const auto* words = block.const_data_ptr<std::int64_t>();
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    heartbeat::beat();
    std::atomic<std::int64_t> sum{0};
    const auto begin = Clock::now();
    at::parallel_for(0, kWords, kWords / at::get_num_threads(),
                     [&](std::int64_t from, std::int64_t to) { sum += sum_words(words + from, to - from); });
    if (sum == kWords) best = std::max(best, 8.0 * kWords / seconds_since(begin));
  }
  return {best, last_level_cache()};
}

std::uint64_t last_level_cache(const std::string& device) {
  if (device == "cpu") return cache_of_processor();
#if TERCET_HAVE_CUDA
  int bytes = 0;
  if (cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, at::Device(device).index()) == cudaSuccess)
    return static_cast<std::uint64_t>(bytes);
#endif
  return 0;
}

std::string processor_name(const std::string& device) {
  if (device != "cpu") {
#if TERCET_HAVE_CUDA
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, at::Device(device).index()) == cudaSuccess) return properties.name;
#endif
    return "";
  }
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t value = line.find(": ");
    if (line.starts_with("model name") && value != std::string::npos) return line.substr(value + 2);
  }
  return "";
}

}  // namespace tercet
