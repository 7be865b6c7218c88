#include "tercet/train/optimizer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "tercet/base/error.hpp"
#include "train/matrix_reference.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

TrainedParameter make_parameter(const std::string& name, Role role, at::IntArrayRef shape, bool input_first = false) {
  TrainedParameter parameter;
  parameter.name = name;
  parameter.role = role;
  parameter.input_first = input_first;
  parameter.master = test::normal(std::hash<std::string>()(name), shape);
  parameter.seen = parameter.master.clone().set_requires_grad(true);
  parameter.seen.mutable_grad() = at::zeros(shape);
  return parameter;
}

std::vector<TrainedParameter> mixed_parameters() {
  return {make_parameter("embedding", Role::kEmbedding, {10, 6}), make_parameter("query", Role::kQuery, {6, 6}),
          make_parameter("up", Role::kUp, {16, 6}), make_parameter("down", Role::kDown, {6, 16}),
          make_parameter("norm", Role::kNorm, {6})};
}

void set_gradients(std::vector<TrainedParameter>& parameters, std::uint64_t step) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].seen.mutable_grad().copy_(test::normal(100 * step + i, parameters[i].seen.sizes()));
  }
}

OptimizerOptions adamw_options() {
  OptimizerOptions options;
  options.kind = "adamw";
  options.learning_rate = 0.01;
  options.weight_decay = 0.1;
  return options;
}

// Loshchilov and Hutter 2019, algorithm 2, one element at a time.
struct AdamWLoop {
  std::vector<double> master, first, second;
  std::int64_t steps = 0;
  explicit AdamWLoop(const at::Tensor& start) {
    const at::Tensor flat = start.detach().to(at::kDouble).flatten();
    master.assign(flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel());
    first.assign(master.size(), 0.0);
    second.assign(master.size(), 0.0);
  }
  void step(const at::Tensor& gradient, const OptimizerOptions& o, double rate, double decay) {
    const at::Tensor flat = gradient.to(at::kDouble).flatten();
    ++steps;
    for (std::size_t i = 0; i < master.size(); ++i) {
      const double g = flat.const_data_ptr<double>()[i];
      first[i] = o.beta1 * first[i] + (1 - o.beta1) * g;
      second[i] = o.beta2 * second[i] + (1 - o.beta2) * g * g;
      const double m = first[i] / (1 - std::pow(o.beta1, steps)), v = second[i] / (1 - std::pow(o.beta2, steps));
      master[i] -= rate * decay * master[i];
      master[i] -= rate * m / (std::sqrt(v) + o.epsilon);
    }
  }
};

TEST(AdamW, EqualsALoopOverDoublesAndDecaysMatricesOnly) {
  std::vector<TrainedParameter> parameters = mixed_parameters();
  const OptimizerOptions options = adamw_options();
  const auto optimizer = make_optimizer(parameters, options, 1);
  const auto comm = make_self_communicator();
  std::vector<AdamWLoop> loops;
  for (const TrainedParameter& parameter : parameters) loops.emplace_back(parameter.master);
  for (std::uint64_t step = 1; step <= 5; ++step) {
    const double factor = step < 3 ? 0.5 : 1.0;
    set_gradients(parameters, step);
    optimizer->step(*comm, factor);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const double decay = parameters[i].master.dim() > 1 ? options.weight_decay : 0.0;
      loops[i].step(parameters[i].seen.grad(), options, options.learning_rate * factor, decay);
    }
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor flat = parameters[i].master.detach().flatten();
    for (std::int64_t j = 0; j < flat.numel(); ++j) {
      EXPECT_NEAR(flat.const_data_ptr<float>()[j], loops[i].master[static_cast<std::size_t>(j)], 2e-6)
          << parameters[i].name << " element " << j;
    }
  }
}

// AdamW's first step is its rate times the gradient's sign.
TEST(MatrixLearningRate, IsAShareOfTheMeanMagnitudeOfEachMatrixInsideTheBlocks) {
  for (const char* kind : {"adamw", "lion"}) {
    std::vector<TrainedParameter> parameters = mixed_parameters();
    OptimizerOptions options;
    options.kind = kind;
    options.learning_rate = 0.01;
    options.matrix_learning_rate = 0.5;
    const auto optimizer = make_optimizer(parameters, options, 1);
    std::vector<at::Tensor> before;
    for (const TrainedParameter& parameter : parameters) before.push_back(parameter.master.clone());
    set_gradients(parameters, 1);
    optimizer->step(*make_self_communicator(), 0.2);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const double mean = before[i].abs().mean().item<double>();
      const double expected = 0.2 * (is_block_linear(parameters[i].role) ? 0.5 * mean : 0.01);
      EXPECT_NEAR((parameters[i].master - before[i]).abs().max().item<double>(), expected, 2e-6)
          << kind << " " << parameters[i].name;
    }
  }
}

// Chen et al. 2023, program 1, one element at a time.
TEST(Lion, EqualsALoopOverDoublesAndDecaysMatricesOnly) {
  std::vector<TrainedParameter> parameters = mixed_parameters();
  OptimizerOptions options = adamw_options();
  options.kind = "lion";
  options.beta2 = 0.99;
  const auto optimizer = make_optimizer(parameters, options, 1);
  const auto comm = make_self_communicator();
  std::vector<at::Tensor> masters, momenta;
  for (const TrainedParameter& parameter : parameters) {
    masters.push_back(parameter.master.detach().to(at::kDouble));
    momenta.push_back(at::zeros_like(masters.back()));
  }
  for (std::uint64_t step = 1; step <= 5; ++step) {
    const double rate = options.learning_rate * (step < 3 ? 0.5 : 1.0);
    set_gradients(parameters, step);
    optimizer->step(*comm, step < 3 ? 0.5 : 1.0);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor gradient = parameters[i].seen.grad().to(at::kDouble);
      const double decay = masters[i].dim() > 1 ? options.weight_decay : 0;
      const at::Tensor direction = (options.beta1 * momenta[i] + (1 - options.beta1) * gradient).sign();
      masters[i] = masters[i] - rate * (direction + decay * masters[i]);
      momenta[i] = options.beta2 * momenta[i] + (1 - options.beta2) * gradient;
    }
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_TRUE(at::allclose(parameters[i].master.to(at::kDouble), masters[i], 0, 2e-6)) << parameters[i].name;
  }
}

// Jordan et al. 2024: B <- mu B + G; W <- (1 - lr wd) W - lr sqrt(max(1, out / in)) NS(G + mu B).
test::Matrix muon_reference(const test::Matrix& start, const std::vector<at::Tensor>& gradients, bool input_first,
                            const OptimizerOptions& options) {
  test::Matrix master = start, momentum(start.rows, start.columns);
  const double out = static_cast<double>(input_first ? start.columns : start.rows);
  const double in = static_cast<double>(input_first ? start.rows : start.columns);
  for (const at::Tensor& tensor : gradients) {
    const test::Matrix gradient(tensor);
    test::Matrix nesterov = gradient;
    for (std::size_t i = 0; i < momentum.values.size(); ++i) {
      momentum.values[i] = options.momentum * momentum.values[i] + gradient.values[i];
      nesterov.values[i] += options.momentum * momentum.values[i];
    }
    const test::Matrix update = test::newton_schulz_reference(nesterov, 5);
    const double rate = options.muon_learning_rate;
    for (std::size_t i = 0; i < master.values.size(); ++i) {
      master.values[i] *= 1 - rate * options.weight_decay;
      master.values[i] -= rate * std::sqrt(std::max(1.0, out / in)) * update.values[i];
    }
  }
  return master;
}

TEST(Muon, EqualsThePublishedRuleOnSquareTallWideAndConv1dMatrices) {
  std::vector<TrainedParameter> parameters{
      make_parameter("square", Role::kQuery, {8, 8}), make_parameter("tall", Role::kUp, {24, 8}),
      make_parameter("wide", Role::kDown, {8, 24}), make_parameter("conv1d", Role::kUp, {8, 24}, true)};
  OptimizerOptions options;
  options.muon_learning_rate = 0.05;
  options.weight_decay = 0.1;
  const auto optimizer = make_optimizer(parameters, options, 1);
  const auto comm = make_self_communicator();
  std::vector<test::Matrix> starts;
  std::vector<std::vector<at::Tensor>> gradients(parameters.size());
  for (const TrainedParameter& parameter : parameters) starts.emplace_back(parameter.master);
  for (std::uint64_t step = 1; step <= 3; ++step) {
    set_gradients(parameters, step);
    for (std::size_t i = 0; i < parameters.size(); ++i) gradients[i].push_back(parameters[i].seen.grad().clone());
    optimizer->step(*comm, 1.0);
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto expected = muon_reference(starts[i], gradients[i], parameters[i].input_first, options).tensor();
    EXPECT_TRUE(at::allclose(parameters[i].master.to(at::kDouble), expected, 1e-4, 2e-4)) << parameters[i].name;
  }
}

TEST(Muon, MovesOnlyMatricesInsideTheBlocksAndAdamWTheRest) {
  std::vector<TrainedParameter> parameters = mixed_parameters();
  OptimizerOptions options;
  options.learning_rate = 0;
  const auto optimizer = make_optimizer(parameters, options, 1);
  const auto comm = make_self_communicator();
  std::vector<at::Tensor> before;
  for (const TrainedParameter& parameter : parameters) before.push_back(parameter.master.clone());
  set_gradients(parameters, 1);
  optimizer->step(*comm, 1.0);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_EQ(!at::equal(parameters[i].master, before[i]), is_block_linear(parameters[i].role)) << parameters[i].name;
  }
}

// Lee et al. 2024, algorithm 1: g + lambda * ema. On a constant gradient the gain is 1 + lambda (1 - alpha^t): it grows
// from just above 1 to 1 + lambda. The original computed g + lambda (g - ema), which falls from 1 + lambda alpha to 1.
TEST(Grokfast, AmplifiesASteadyGradientMoreAndMoreUpToOnePlusLambda) {
  std::vector<TrainedParameter> parameters{make_parameter("norm", Role::kNorm, {4})};
  OptimizerOptions options;
  options.grokfast_alpha = 0.9;
  options.grokfast_lambda = 2.0;
  const auto optimizer = make_optimizer(parameters, options, 1);
  const auto comm = make_self_communicator();
  for (int step = 1; step <= 100; ++step) {
    parameters[0].seen.mutable_grad().fill_(0.5);
    optimizer->step(*comm, 1.0);
    const double gain = parameters[0].seen.grad()[0].item<double>() / 0.5;
    EXPECT_NEAR(gain, 1 + 2.0 * (1 - std::pow(0.9, step)), 1e-5) << "step " << step;
  }
}

TEST(Grokfast, DampsAnAlternatingGradientLessThanItAmplifiesASteadyOne) {
  std::vector<TrainedParameter> parameters{make_parameter("norm", Role::kNorm, {2})};
  OptimizerOptions options;
  options.grokfast_alpha = 0.9;
  options.grokfast_lambda = 2.0;
  const auto optimizer = make_optimizer(parameters, options, 1);
  const auto comm = make_self_communicator();
  for (int step = 0; step < 200; ++step) {
    parameters[0].seen.mutable_grad().fill_(step % 2 == 0 ? 1.0 : -1.0);
    optimizer->step(*comm, 1.0);
  }
  // In the steady state |ema| = (1 - alpha) / (1 + alpha), of the sign of the newest gradient.
  EXPECT_NEAR(parameters[0].seen.grad()[0].item<double>(), -(1 + 2.0 * 0.1 / 1.9), 1e-4);
}

OptimizerOptions everything() {
  OptimizerOptions options;
  options.weight_decay = 0.05;
  options.grokfast_lambda = 1.0;
  return options;
}

void expect_to_continue_to_the_bit(const OptimizerOptions& options) {
  std::vector<TrainedParameter> one = mixed_parameters(), two = mixed_parameters();
  const auto comm = make_self_communicator();
  const auto first = make_optimizer(one, options, 1);
  for (std::uint64_t step = 1; step <= 3; ++step) {
    set_gradients(one, step);
    first->step(*comm, 1.0);
  }
  StateTensors saved;
  for (const auto& [name, tensor] : first->state()) saved.emplace_back(name, tensor.clone());
  for (std::size_t i = 0; i < one.size(); ++i) two[i].master.copy_(one[i].master);
  const auto second = make_optimizer(two, options, 1);
  second->load(saved);
  for (std::uint64_t step = 4; step <= 6; ++step) {
    set_gradients(one, step);
    set_gradients(two, step);
    first->step(*comm, 1.0);
    second->step(*comm, 1.0);
  }
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i].master, two[i].master)) << one[i].name;
}

TEST(OptimizerState, SavedAndLoadedContinuesToTheBit) {
  for (const char* kind : {"mugrokfast", "adamw", "lion"}) {
    OptimizerOptions options = everything();
    options.kind = kind;
    expect_to_continue_to_the_bit(options);
  }
}

TEST(OptimizerState, OfAnotherModelOrOptimizerIsRefusedByName) {
  std::vector<TrainedParameter> parameters = mixed_parameters();
  const auto optimizer = make_optimizer(parameters, everything(), 1);
  StateTensors missing = optimizer->state();
  missing.erase(missing.begin());
  EXPECT_THROW(optimizer->load(missing), StoreError);
  StateTensors reshaped = optimizer->state();
  reshaped[0].second = at::zeros({3, 3});
  EXPECT_THROW(optimizer->load(reshaped), StoreError);
  StateTensors extra = optimizer->state();
  extra.emplace_back("adamw.first.unknown", at::zeros({2}));
  EXPECT_MENTIONS(test::message_of<StoreError>([&] { optimizer->load(extra); }), "adamw.first.unknown");
}

TEST(UntrainedParameters, AreNeitherMovedNorKeptInTheStateNorCountedInTheNorm) {
  std::vector<TrainedParameter> parameters = mixed_parameters();
  parameters[1].trained = false;
  const at::Tensor before = parameters[1].master.clone();
  const auto comm = make_self_communicator();
  const auto optimizer = make_optimizer(parameters, adamw_options(), 1);
  for (const auto& [name, tensor] : optimizer->state()) EXPECT_FALSE(name.ends_with(parameters[1].name)) << name;
  set_gradients(parameters, 1);
  const double norm = clip_gradients(parameters, 0);
  parameters[1].seen.mutable_grad().fill_(1e6);
  EXPECT_EQ(clip_gradients(parameters, 0), norm);
  optimizer->step(*comm, 1.0);
  EXPECT_TRUE(at::equal(parameters[1].master, before));
}

TEST(ClipGradients, ScalesAllToTheLimitAndReportsTheNormBefore) {
  std::vector<TrainedParameter> parameters{make_parameter("a", Role::kNorm, {9}),
                                           make_parameter("b", Role::kUp, {4, 4})};
  parameters[0].seen.mutable_grad().fill_(1.0);
  parameters[1].seen.mutable_grad().fill_(1.0);  // 25 ones: the norm is 5
  EXPECT_DOUBLE_EQ(clip_gradients(parameters, 0), 5.0);
  EXPECT_DOUBLE_EQ(clip_gradients(parameters, 6), 5.0);
  EXPECT_EQ(parameters[0].seen.grad()[0].item<float>(), 1.0f);
  EXPECT_DOUBLE_EQ(clip_gradients(parameters, 2), 5.0);
  EXPECT_NEAR(parameters[0].seen.grad()[0].item<double>(), 0.4, 1e-6);
  EXPECT_NEAR(clip_gradients(parameters, 0), 2.0, 1e-6);
}

}  // namespace
}  // namespace tercet
