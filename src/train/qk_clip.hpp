// QK-clip: keeps attention logits below a limit by scaling query and key projections after the optimizer's step
// (MuonClip; Kimi K2 technical report 2025, algorithm 1).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/train/student.hpp"

namespace tercet::train {

// What multiplies the projection of each query head and of each key head.
struct ClipFactors {
  std::vector<double> query;  // [heads]
  std::vector<double> key;    // [kv_heads]
};

// Head h needs its logits multiplied by gamma_h = min(1, limit / largest_h). A key head takes the square root of the
// largest gamma among its query heads, and each query head the rest, so that a head below the limit keeps its logits
// and no factor is above 1. Without shared key heads both take sqrt(gamma), as in the report.
ClipFactors clip_factors(const std::vector<double>& largest_logits, std::int64_t kv_heads, double limit);

// Watches the logits of the training passes between watch() and apply(). Families that normalise q and k (Qwen3) are
// left alone: their logits do not depend on the scale of the projections.
//
// Masters are scaled, and logits are measured with what is made of them. A ternary matrix follows its master's scale
// exactly with scales per group or channel; with one scale per tensor it follows roughly.
class QkClip {
 public:
  QkClip(Student& student, double limit);  // limit 0: does nothing
  ~QkClip();
  QkClip(const QkClip&) = delete;
  QkClip& operator=(const QkClip&) = delete;

  void watch();
  // Collective. Stops watching; when `take` also scales the masters. Returns the largest logit of the step over all
  // heads and ranks, 0 when off.
  double apply(Communicator& comm, bool take);

 private:
  void observe(int layer, const at::Tensor& query, const at::Tensor& key);
  void scale_layer(int layer, const ClipFactors& factors);

  Student& student_;
  double limit_;
  std::vector<double> largest_;  // [layers * heads], of the passes watched
};

}  // namespace tercet::train
