// Short runs of the trainer, with everything recorded.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "tercet/train/blockwise.hpp"
#include "tercet/train/trainer.hpp"
#include "train/tiny_model.hpp"

namespace tercet::test {

inline TrainerOptions short_run(std::int64_t steps) {
  TrainerOptions options;
  options.sequences_per_step = 8;
  options.sequence_length = 16;
  options.micro_batch = 2;
  options.bfloat16 = false;
  options.schedule = {steps, 2, "linear", 0.1};
  options.optimizer.learning_rate = 5e-3;
  options.optimizer.muon_learning_rate = 0.02;
  options.bucket_bytes = 16 << 10;
  options.fingerprint = "a test";
  return options;
}

inline BlockwiseOptions short_tuning(std::int64_t epochs) {
  BlockwiseOptions options;
  options.samples = 16;
  options.sequence_length = 16;
  options.sequences_per_step = 8;
  options.micro_batch = 4;
  options.epochs = epochs;
  options.bfloat16 = false;
  options.optimizer.kind = "adamw";
  return options;
}

struct Recorder {
  std::vector<StepRecord> steps;
  std::vector<std::pair<std::int64_t, double>> evaluations;
  std::set<std::uint64_t> sampled;

  TrainerCallbacks callbacks() {
    TrainerCallbacks result;
    result.sample = [this](std::uint64_t index, std::span<std::int64_t> ids) {
      sampled.insert(index);
      counting_sample(index, ids);
    };
    result.on_step = [this](const StepRecord& record) { steps.push_back(record); };
    result.on_evaluation = [this](std::int64_t step, double loss) { evaluations.emplace_back(step, loss); };
    return result;
  }
};

}  // namespace tercet::test
