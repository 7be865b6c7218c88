// Block-wise fine-tuning: block after block learns to put out what the original's block puts out, on what the quantized
// blocks before it give it (BRECQ, Li et al. 2021, eq. 10; Block-AP of EfficientQAT, Chen et al. 2024), or several
// blocks at once, in a window that slides by one (CBQ, Ding et al. 2023, arXiv:2312.07950). No step computes more than
// the window, and no gradient leaves it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/comm/stop_control.hpp"
#include "tercet/store/work_log.hpp"
#include "tercet/train/optimizer.hpp"
#include "tercet/train/student.hpp"

namespace tercet {

struct BlockwiseOptions {
  std::int64_t samples = 512;          // training sequences 0 .. samples - 1; a multiple of sequences_per_step
  std::int64_t sequence_length = 256;  // tokens
  std::int64_t sequences_per_step = 8;
  std::int64_t micro_batch = 8;  // sequences of one forward pass on one rank
  std::int64_t epochs = 4;       // over the samples, for each block and part of it
  std::int64_t window = 1;       // blocks tuned at once, towards the outputs of the last of them
  bool by_parts = false;  // query and key first, then value and attention output, then the MLP; otherwise all at once
  // Share of the steps over which the weights of a part pass from their full precision to their quantized values.
  double softening = 0;
  std::int64_t scale_epochs = 0;  // then, with the levels fixed, as often for the scales alone; 0: not
  double scale_learning_rate = 1e-4;
  // Its learning_rate is that of trits and two bits; a matrix whose grid has more levels takes (3 / (levels - 1))^1.5
  // of it, and what has none (norms, biases) as much as the coarsest of its window.
  OptimizerOptions optimizer;
  double gradient_clip = 1.0;
  bool bfloat16 = true;
  std::uint64_t bucket_bytes = std::uint64_t{4} << 20;
  // Where a student that streams keeps its finished blocks, seen by all ranks.
  std::filesystem::path folder;
  WorkLog* done = nullptr;      // finished blocks found here are not tuned again; null: none
  StopControl* stop = nullptr;  // asked after each step; a stopped block begins anew
};

// Errors are ||student - original||_F / ||original||_F of the residual stream after the block (the last of
// its window), over all samples.
struct BlockReport {
  int block = 0;                             // the first of its window
  double error_before = 0, error_after = 0;  // the same where tuning made it worse, and was taken back
  std::int64_t steps = 0;
  double seconds = 0;  // 0 for one that an earlier attempt tuned
};

struct BlockwiseCallbacks {
  std::function<void(std::uint64_t index, std::span<std::int64_t> ids)> sample;  // training sequence `index`
  std::function<void(const BlockReport&)> on_block = {};                         // may be empty
};

// Collective. Needs 2 x samples / ranks x sequence_length x hidden floats on each rank's device, besides the model: of
// models that stream, a window of the student with its gradients and optimizer, and a block of the original.
// The same steps on any number of ranks, with sums in another order. Throws ConfigError when a step has fewer sequences
// than there are ranks, NumericError when a block's outputs are not finite, StopRequested.
std::vector<BlockReport> tune_blocks(Communicator& comm, Student& student, const Decoder& original,
                                     const BlockwiseOptions& options, const BlockwiseCallbacks& callbacks);

}  // namespace tercet
