// The parts that optimizers are made of: a gradient filter, AdamW and Muon, each over its own parameters.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "tercet/train/optimizer.hpp"

namespace tercet::train {

using ParameterList = std::vector<TrainedParameter*>;

// Grokfast-EMA: gradient += lambda * ema, ema = alpha ema + (1 - alpha) gradient.
class GrokfastFilter {
 public:
  GrokfastFilter(ParameterList parameters, double alpha, double lambda);
  void apply();
  void collect(StateTensors& state) const;

 private:
  ParameterList parameters_;
  double alpha_, lambda_;
  std::vector<at::Tensor> averages_;
};

class AdamW {
 public:
  AdamW(ParameterList parameters, const OptimizerOptions& options);
  ~AdamW();
  void step(double factor);
  void collect(StateTensors& state) const;

 private:
  struct Group;
  void step(const Group& group, double factor);

  ParameterList parameters_;
  OptimizerOptions options_;
  std::vector<at::Tensor> first_, second_, steps_;
  std::vector<Group> groups_;
};

class Lion {
 public:
  Lion(ParameterList parameters, const OptimizerOptions& options);
  void step(double factor);
  void collect(StateTensors& state) const;

 private:
  ParameterList parameters_;
  OptimizerOptions options_;
  std::vector<double> rates_;
  std::vector<at::Tensor> momentum_;
};

// Momentum is kept by all ranks; each rank orthogonalises the matrices it owns and all get the result.
class Muon {
 public:
  Muon(ParameterList parameters, const OptimizerOptions& options, int world_size);
  void step(Communicator& comm, double factor);
  void collect(StateTensors& state) const;

 private:
  void orthogonalise(std::size_t index);
  ParameterList parameters_;
  OptimizerOptions options_;
  std::vector<at::Tensor> momentum_;
  std::vector<int> owner_;
  std::vector<at::Tensor> shares_;   // per rank: the flat updates of the matrices it owns
  std::vector<at::Tensor> updates_;  // per matrix: a view of its owner's share
};

}  // namespace tercet::train
