#include <algorithm>
#include <cmath>
#include <numeric>

#include "tercet/base/error.hpp"
#include "tercet/base/random.hpp"
#include "tercet/generate/generate.hpp"

namespace tercet {
namespace {

struct Candidate {
  std::int32_t id;
  double weight;  // proportional to its probability
};

bool comes_first(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

std::vector<Candidate> weighted(const float* logits, std::int64_t count, double temperature) {
  const double most = *std::max_element(logits, logits + count);
  std::vector<Candidate> candidates;
  for (std::int64_t i = 0; i < count; ++i) {
    candidates.push_back(
        {static_cast<std::int32_t>(i), std::exp((static_cast<double>(logits[i]) - most) / temperature)});
  }
  return candidates;
}

// Sorted, cut to the likeliest.
void keep_likeliest(std::vector<Candidate>& candidates, const SamplingOptions& options) {
  std::sort(candidates.begin(), candidates.end(), comes_first);
  if (options.top_k > 0 && options.top_k < static_cast<std::int64_t>(candidates.size())) {
    candidates.resize(static_cast<std::size_t>(options.top_k));
  }
  if (options.top_p >= 1) return;
  const double all = std::accumulate(candidates.begin(), candidates.end(), 0.0,
                                     [](double sum, const Candidate& candidate) { return sum + candidate.weight; });
  double sum = 0;
  std::size_t kept = 0;
  while (kept < candidates.size() && sum < options.top_p * all) sum += candidates[kept++].weight;
  candidates.resize(std::max<std::size_t>(kept, 1));
}

}  // namespace

std::int32_t sample(const at::Tensor& logits, const SamplingOptions& options, std::uint64_t place) {
  const at::Tensor host = logits.to(at::kCPU, at::kFloat).contiguous();
  const float* values = host.const_data_ptr<float>();
  const std::int64_t count = host.numel();
  if (std::any_of(values, values + count, [](float value) { return std::isnan(value); })) {
    throw NumericError("the model gives logits that are not numbers", "its weights are damaged");
  }
  if (options.temperature <= 0) return static_cast<std::int32_t>(std::max_element(values, values + count) - values);
  std::vector<Candidate> candidates = weighted(values, count, options.temperature);
  keep_likeliest(candidates, options);
  double rest = 0;
  for (const Candidate& candidate : candidates) rest += candidate.weight;
  rest *= random_uniform(options.seed, purpose_of("generate"), place);
  for (const Candidate& candidate : candidates) {
    rest -= candidate.weight;
    if (rest < 0) return candidate.id;
  }
  return candidates.back().id;
}

}  // namespace tercet
