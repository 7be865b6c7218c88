#include "optimizer_parts.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

namespace tercet::train {
namespace {

std::vector<at::Tensor> zeros_like_masters(const ParameterList& parameters) {
  std::vector<at::Tensor> zeros;
  for (const TrainedParameter* parameter : parameters) zeros.push_back(at::zeros_like(parameter->master.detach()));
  return zeros;
}

void collect_named(StateTensors& state, const std::string& prefix, const ParameterList& parameters,
                   const std::vector<at::Tensor>& tensors) {
  for (std::size_t i = 0; i < parameters.size(); ++i) state.emplace_back(prefix + parameters[i]->name, tensors[i]);
}

std::vector<double> learning_rates(const ParameterList& parameters, const OptimizerOptions& options) {
  std::vector<double> rates;
  for (const TrainedParameter* parameter : parameters) {
    const bool measurable = !parameter->master.is_meta();  // a plan has no values
    const bool relative = options.matrix_learning_rate > 0 && is_block_linear(parameter->role) && measurable;
    const double rate = relative ? options.matrix_learning_rate * parameter->master.detach().abs().mean().item<double>()
                                 : options.learning_rate;
    rates.push_back(rate * parameter->step_share);
  }
  return rates;
}

// Multiplications of one Newton-Schulz step on a matrix, to share the work out by.
double orthogonalise_cost(const at::Tensor& matrix) {
  const auto small = static_cast<double>(std::min(matrix.size(0), matrix.size(1)));
  const auto large = static_cast<double>(std::max(matrix.size(0), matrix.size(1)));
  return 2 * small * small * large + small * small * small;
}

// Largest first to the rank with the least so far.
std::vector<int> share_out(const std::vector<at::Tensor>& matrices, int world_size) {
  std::vector<std::size_t> order(matrices.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return orthogonalise_cost(matrices[a]) > orthogonalise_cost(matrices[b]);
  });
  std::vector<double> load(static_cast<std::size_t>(world_size), 0.0);
  std::vector<int> owner(matrices.size());
  for (std::size_t index : order) {
    const auto rank = std::min_element(load.begin(), load.end()) - load.begin();
    owner[index] = static_cast<int>(rank);
    load[static_cast<std::size_t>(rank)] += orthogonalise_cost(matrices[index]);
  }
  return owner;
}

}  // namespace

GrokfastFilter::GrokfastFilter(ParameterList parameters, double alpha, double lambda)
    : parameters_(std::move(parameters)), alpha_(alpha), lambda_(lambda), averages_(zeros_like_masters(parameters_)) {}

void GrokfastFilter::apply() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor gradient = parameters_[i]->gradient();
    averages_[i].mul_(alpha_).add_(gradient, 1 - alpha_);
    gradient.add_(averages_[i], lambda_);
  }
}

void GrokfastFilter::collect(StateTensors& state) const {
  collect_named(state, "grokfast.", parameters_, averages_);
}

// Parameters that one call moves.
struct AdamW::Group {
  std::vector<std::size_t> members;
  double rate = 0, decay = 0;
};

AdamW::AdamW(ParameterList parameters, const OptimizerOptions& options)
    : parameters_(std::move(parameters)),
      options_(options),
      first_(zeros_like_masters(parameters_)),
      second_(zeros_like_masters(parameters_)) {
  const std::vector<double> rates = learning_rates(parameters_, options);
  std::map<std::pair<double, double>, Group> groups;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    steps_.push_back(at::zeros({}, parameters_[i]->master.options().requires_grad(false)));
    // Weight decay is for matrices; norms and biases are left alone.
    const double decay = parameters_[i]->master.dim() > 1 ? options.weight_decay : 0.0;
    Group& group = groups[{rates[i], decay}];
    group.rate = rates[i];
    group.decay = decay;
    group.members.push_back(i);
  }
  for (auto& [key, group] : groups) groups_.push_back(std::move(group));
}

AdamW::~AdamW() = default;

void AdamW::step(double factor) {
  for (const Group& group : groups_) step(group, factor);
}

void AdamW::step(const Group& group, double factor) {
  std::vector<at::Tensor> masters, gradients, first, second, steps;
  for (const std::size_t i : group.members) {
    masters.push_back(parameters_[i]->master.detach());
    gradients.push_back(parameters_[i]->gradient());
    first.push_back(first_[i]);
    second.push_back(second_[i]);
    steps_[i].add_(1);
    steps.push_back(steps_[i]);
  }
  at::_fused_adamw_(masters, gradients, first, second, {}, steps, group.rate * factor, options_.beta1, options_.beta2,
                    group.decay, options_.epsilon, false, false);
}

void AdamW::collect(StateTensors& state) const {
  collect_named(state, "adamw.first.", parameters_, first_);
  collect_named(state, "adamw.second.", parameters_, second_);
  collect_named(state, "adamw.step.", parameters_, steps_);
}

Lion::Lion(ParameterList parameters, const OptimizerOptions& options)
    : parameters_(std::move(parameters)),
      options_(options),
      rates_(learning_rates(parameters_, options)),
      momentum_(zeros_like_masters(parameters_)) {}

void Lion::step(double factor) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const double rate = rates_[i] * factor;
    at::Tensor master = parameters_[i]->master.detach();
    const at::Tensor gradient = parameters_[i]->gradient();
    const at::Tensor direction = (momentum_[i] * options_.beta1).add_(gradient, 1 - options_.beta1).sign_();
    if (master.dim() > 1 && options_.weight_decay != 0) master.mul_(1 - rate * options_.weight_decay);
    master.add_(direction, -rate);
    momentum_[i].mul_(options_.beta2).add_(gradient, 1 - options_.beta2);
  }
}

void Lion::collect(StateTensors& state) const {
  collect_named(state, "lion.", parameters_, momentum_);
}

Muon::Muon(ParameterList parameters, const OptimizerOptions& options, int world_size)
    : parameters_(std::move(parameters)),
      options_(options),
      momentum_(zeros_like_masters(parameters_)),
      owner_(share_out(momentum_, world_size)),
      updates_(parameters_.size()) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(world_size), 0);
  for (std::size_t i = 0; i < momentum_.size(); ++i) sizes[static_cast<std::size_t>(owner_[i])] += momentum_[i].numel();
  for (std::int64_t size : sizes) shares_.push_back(at::zeros({size}, momentum_.front().options()));
  std::vector<std::int64_t> used(static_cast<std::size_t>(world_size), 0);
  for (std::size_t i = 0; i < momentum_.size(); ++i) {
    const auto rank = static_cast<std::size_t>(owner_[i]);
    const std::int64_t count = momentum_[i].numel();
    updates_[i] = shares_[rank].slice(0, used[rank], used[rank] + count).view(momentum_[i].sizes());
    used[rank] += count;
  }
}

void Muon::orthogonalise(std::size_t index) {
  const at::Tensor nesterov = parameters_[index]->seen.grad().add(momentum_[index], options_.momentum);
  updates_[index].copy_(newton_schulz(nesterov, options_.newton_schulz_steps, options_.newton_schulz_bfloat16));
}

void Muon::step(Communicator& comm, double factor) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    momentum_[i].mul_(options_.momentum).add_(parameters_[i]->gradient());
    if (owner_[i] == comm.rank()) orthogonalise(i);
  }
  for (std::size_t rank = 0; rank < shares_.size(); ++rank) {
    if (shares_.size() > 1 && shares_[rank].numel() > 0) comm.broadcast(shares_[rank], static_cast<int>(rank));
  }
  const double rate = options_.muon_learning_rate * factor;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor master = parameters_[i]->master.detach();
    const auto outputs = static_cast<double>(parameters_[i]->input_first ? master.size(1) : master.size(0));
    const auto inputs = static_cast<double>(parameters_[i]->input_first ? master.size(0) : master.size(1));
    if (options_.weight_decay != 0) master.mul_(1 - rate * options_.weight_decay);
    master.add_(updates_[i], -rate * std::sqrt(std::max(1.0, outputs / inputs)));
  }
}

void Muon::collect(StateTensors& state) const {
  collect_named(state, "muon.", parameters_, momentum_);
}

}  // namespace tercet::train
