// All that a training run is at a border between steps, as a checkpoint keeps it: tensors, and counters as JSON.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "tercet/store/checkpoint.hpp"
#include "tercet/train/optimizer.hpp"
#include "tercet/train/student.hpp"
#include "tercet/train/trainer.hpp"

namespace tercet::train {

struct TrainingProgress {
  std::int64_t step = 0;           // steps done
  std::int64_t evaluated_at = -1;  // step of the last evaluation
  std::int64_t without_improvement = 0;
  int bad_steps = 0;           // in a row
  double step_scale = 1;       // on every learning rate, smaller after a return to a checkpoint
  double relation_weight = 0;  // of the attention relations; 0: not measured yet
  double slowest_step_s = 0, slowest_save_s = 0;
};

// The counters of `result` that a resumed run goes on with travel along.
nlohmann::json to_metadata(const TrainingProgress& progress, const TrainingResult& result);
// Throws StoreError when something is missing. Times keep the larger of both.
void from_metadata(const nlohmann::json& metadata, TrainingProgress& progress, TrainingResult& result);

// Views of optimizer state, masters ("master.<name>") and the best masters so far ("best.<name>"; may be empty).
StateTensors collect_tensors(const Optimizer& optimizer, const Student& student, const std::vector<at::Tensor>& best);
// The other way round. Throws StoreError for tensors that are missing or not known.
void restore_tensors(const StateTensors& saved, Optimizer& optimizer, Student& student, std::vector<at::Tensor>& best);

}  // namespace tercet::train
