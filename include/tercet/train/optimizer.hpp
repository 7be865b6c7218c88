// Optimizers over the masters of a Student that are trained. Gradients are read from TrainedParameter::gradient(),
// reduced and clipped already. State is the same on every rank; what is costly (Newton-Schulz) is shared out and
// exchanged.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/store/checkpoint.hpp"
#include "tercet/train/student.hpp"

namespace tercet {

struct OptimizerOptions {
  std::string kind = "mugrokfast";  // adamw | lion | mugrokfast
  double learning_rate = 1e-3;      // AdamW, Lion
  // AdamW, Lion: step size of the matrices inside the blocks as a share of the mean magnitude that each has when the
  // optimizer is made; 0: learning_rate.
  double matrix_learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.0;
  double muon_learning_rate = 0.005;
  double momentum = 0.95;
  std::int64_t newton_schulz_steps = 5;
  bool newton_schulz_bfloat16 = false;
  double grokfast_alpha = 0.98, grokfast_lambda = 0.0;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Collective. Moves the masters by one step; every learning rate is multiplied by `factor`.
  virtual void step(Communicator& comm, double factor) = 0;
  // Tensors that a checkpoint keeps; load() takes the same names back and throws StoreError for anything else.
  virtual StateTensors state() const = 0;
  virtual void load(const StateTensors& state) = 0;
};

// adamw: decoupled weight decay (Loshchilov, Hutter 2019) on matrices.
// lion: w <- w - lr (sign(beta1 m + (1 - beta1) g) + decay w), then m <- beta2 m + (1 - beta2) g (Chen et al. 2023,
// arXiv:2302.06675, program 1), decay on matrices.
// mugrokfast: Grokfast (Lee et al. 2024, alg. 1: g + lambda * EMA(g)) in front of Muon (Jordan et al. 2024: Nesterov
// momentum, orthogonalised, step sqrt(max(1, rows / columns)) * lr) for matrices inside the blocks, and of AdamW for
// vectors, embeddings and head.
std::unique_ptr<Optimizer> make_optimizer(std::vector<TrainedParameter>& parameters, const OptimizerOptions& options,
                                          int world_size);

// The quintic Newton-Schulz iteration X <- a X + (b A + c A^2) X, A = X X', with (3.4445, -4.7750, 2.0315), on
// matrix / ||matrix||_F: moves all singular values near 1 for any shape. [rows, columns] float32 in and out; the
// products run in bfloat16 when asked.
at::Tensor newton_schulz(const at::Tensor& matrix, std::int64_t steps, bool bfloat16 = false);

// Scales all gradients so that their global L2 norm is at most `limit` (0: only measures). Returns the norm before.
double clip_gradients(std::vector<TrainedParameter>& parameters, double limit);

}  // namespace tercet
