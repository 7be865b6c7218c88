#include "qk_clip.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace tercet::train {
namespace {

// One factor per output of a projection, from where the heads of queries and keys are among its outputs.
class OutputFactors {
 public:
  explicit OutputFactors(std::int64_t outputs) : factors_(static_cast<std::size_t>(outputs), 1.0f) {}
  void scale(std::int64_t first, std::int64_t count, double factor) {
    std::fill_n(factors_.begin() + first, count, static_cast<float>(factor));
  }
  // [out, in], Conv1D's [in, out], or a bias [out].
  void apply_to(const TrainedParameter& parameter) const {
    at::Tensor master = parameter.master.detach();
    at::Tensor column = at::ones({static_cast<std::int64_t>(factors_.size())}, at::kFloat);
    std::copy(factors_.begin(), factors_.end(), column.mutable_data_ptr<float>());
    column = column.to(master.device());
    master.mul_(master.dim() == 1 || parameter.input_first ? column : column.unsqueeze(1));
  }

 private:
  std::vector<float> factors_;
};

// Which output of `role`'s projection is the first of a head. The fused projection of GPT-NeoX holds q, k and v of each
// head together, GPT-2's all of q, then all of k, then all of v.
struct HeadPlaces {
  explicit HeadPlaces(const ModelConfig& model) : config(model) {}
  bool interleaved() const { return config.family == Family::kGptNeox; }
  std::int64_t query(std::int64_t head) const { return head * config.head_dim * (interleaved() ? 3 : 1); }
  std::int64_t fused_key(std::int64_t head) const {
    return interleaved() ? (head * 3 + 1) * config.head_dim : (config.heads + head) * config.head_dim;
  }
  const ModelConfig& config;
};

// The projection that a weight or bias belongs to, by the weight's role; kNorm for everything else.
Role projection_of(const std::vector<Parameter>& parameters, std::size_t index) {
  const Role role = parameters[index].role;
  if (role != Role::kBias) return role;
  return index > 0 ? parameters[index - 1].role : Role::kNorm;  // a bias follows its weight
}

}  // namespace

ClipFactors clip_factors(const std::vector<double>& largest_logits, std::int64_t kv_heads, double limit) {
  const std::size_t keys = static_cast<std::size_t>(kv_heads), sharing = largest_logits.size() / keys;
  ClipFactors factors{std::vector<double>(largest_logits.size()), std::vector<double>(keys, 0.0)};
  for (std::size_t head = 0; head < largest_logits.size(); ++head) {
    const double needed = largest_logits[head] > limit ? limit / largest_logits[head] : 1.0;
    factors.query[head] = needed;
    factors.key[head / sharing] = std::max(factors.key[head / sharing], std::sqrt(needed));
  }
  for (std::size_t head = 0; head < largest_logits.size(); ++head) factors.query[head] /= factors.key[head / sharing];
  return factors;
}

QkClip::QkClip(Student& student, double limit)
    : student_(student), limit_(student.decoder().config().family == Family::kQwen3 ? 0.0 : limit) {}

QkClip::~QkClip() {
  if (limit_ > 0) student_.decoder().set_attention_observer({});
}

void QkClip::watch() {
  if (limit_ <= 0) return;
  const ModelConfig& config = student_.decoder().config();
  largest_.assign(static_cast<std::size_t>(config.layers * config.heads), -std::numeric_limits<double>::infinity());
  student_.decoder().set_attention_observer(
      [this](int layer, const at::Tensor& query, const at::Tensor& key) { observe(layer, query, key); });
}

void QkClip::observe(int layer, const at::Tensor& query, const at::Tensor& key) {
  const at::NoGradGuard no_grad;
  const std::int64_t heads = query.size(1), positions = query.size(2);
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(3)));
  const at::Tensor logits = at::matmul(query, key.transpose(-1, -2)).to(at::kFloat);
  const at::Tensor future = at::full({positions, positions}, -std::numeric_limits<float>::infinity(),
                                     logits.options())
                                .triu(1);  // no query reads a later key
  const at::Tensor largest = (logits + future).amax({0, 2, 3}).mul(scale).to(at::kCPU);
  for (std::int64_t head = 0; head < heads; ++head) {
    double& known = largest_[static_cast<std::size_t>(layer * heads + head)];
    known = std::max(known, static_cast<double>(largest.const_data_ptr<float>()[head]));
  }
}

double QkClip::apply(Communicator& comm, bool take) {
  if (limit_ <= 0) return 0;
  student_.decoder().set_attention_observer({});
  comm.all_reduce(std::span<double>(largest_), Reduce::kMax);
  const double largest = *std::max_element(largest_.begin(), largest_.end());
  if (!take || largest <= limit_) return largest;
  const ModelConfig& config = student_.decoder().config();
  for (int layer = 0; layer < config.layers; ++layer) {
    const auto first = largest_.begin() + layer * config.heads;
    const std::vector<double> heads(first, first + config.heads);
    if (*std::max_element(heads.begin(), heads.end()) <= limit_) continue;
    scale_layer(layer, clip_factors(heads, config.kv_heads, limit_));
  }
  return largest;
}

void QkClip::scale_layer(int layer, const ClipFactors& factors) {
  const at::NoGradGuard no_grad;
  const ModelConfig& config = student_.decoder().config();
  const HeadPlaces places(config);
  const std::vector<Parameter>& parameters = student_.decoder().parameters();
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    const Role projection = projection_of(parameters, index);
    const bool fused = projection == Role::kFusedQkv;
    if (parameters[index].layer != layer || !(fused || projection == Role::kQuery || projection == Role::kKey))
      continue;
    const TrainedParameter& trained = student_.parameters()[index];
    OutputFactors outputs(trained.master.size(trained.input_first ? 1 : 0));
    if (projection != Role::kKey) {
      for (std::int64_t head = 0; head < config.heads; ++head) {
        outputs.scale(places.query(head), config.head_dim, factors.query[static_cast<std::size_t>(head)]);
      }
    }
    if (projection != Role::kQuery) {
      for (std::int64_t head = 0; head < config.kv_heads; ++head) {
        outputs.scale(fused ? places.fused_key(head) : head * config.head_dim, config.head_dim,
                      factors.key[static_cast<std::size_t>(head)]);
      }
    }
    outputs.apply_to(trained);
  }
}

}  // namespace tercet::train
