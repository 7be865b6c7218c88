// Seconds of one training step on any number of ranks, from a few figures measured on some or given by hand. Pure
// arithmetic: nothing is measured here. Formulas, assumptions and sources: docs/scaling.md.
#pragma once

#include <cstdint>
#include <vector>

namespace tercet::job {

struct CostInputs {
  // Computing of one rank alone: a step costs `step + micro_batch * micro-batches + sequence * sequences` seconds.
  double seconds_per_step = 0;         // rounding the masters, clipping, optimizer: the same for every rank
  double seconds_per_micro_batch = 0;  // start of a forward and backward pass
  double seconds_per_sequence = 0;
  double backward_share = 0.5;  // of a micro-batch's time, during which finished gradients can travel

  std::int64_t sequences_per_step = 1;  // of all ranks together
  std::int64_t sequence_length = 1;     // tokens
  std::int64_t micro_batch = 1;         // sequences

  // Ranks that share a node's cores slow each other down once their threads outnumber them. The seconds above are those
  // with `measured_ranks` on the node.
  int ranks_per_node = 1, threads_per_rank = 1, cores_per_node = 1, measured_ranks = 1;
  bool own_engine = false;  // a device whose communication does not take cores from computing (GPU)

  std::vector<double> bucket_bytes;  // in the order in which backward fills them
  int small_reductions = 2;          // of a few numbers, after the buckets: losses, the request to stop
  double latency_s = 0;              // of one message
  double bytes_per_s = 1;            // of one rank's link, one direction

  std::int64_t evaluation_batches = 0, evaluate_every = 0;  // 0: never within the training
  double seconds_per_evaluation_batch = 0;

  double checkpoint_bytes = 0;  // of all ranks together, into one file system
  std::int64_t checkpoint_every = 0;
  double disk_bytes_per_s = 1;
  bool asynchronous_checkpoint = false;  // a step waits for the copy alone, unless the last write is still under way
  double staged_bytes = 0;               // that one rank copies
  double copy_bytes_per_s = 1;
};

struct StepCost {  // seconds of an average step
  int ranks = 1;
  double compute = 0;
  double communication = 0;  // all reductions, hidden or not
  double exposed = 0;        // the part of them that computing waits for
  double evaluation = 0;     // one evaluation shared out over the steps between two
  double checkpoint = 0;     // likewise
  double tokens_per_second = 0;
  double efficiency = 1;                             // tokens per second and rank, against one rank
  double step() const { return compute + exposed; }  // what tokens_per_second of a run counts
  double total() const { return step() + evaluation + checkpoint; }
};

// Seconds until all of `ranks` hold the sum of `bytes`: the cheaper of a ring and recursive doubling. 0 for one rank.
double all_reduce_seconds(double bytes, int ranks, double latency_s, double bytes_per_s);

// A rank's link: latency of one message, bytes per second in one direction.
struct Link {
  double latency_s = 0, bytes_per_s = 0;
};
// The link with which all_reduce_seconds gives `small_seconds` for a few bytes and `large_seconds` for `bytes`. At
// least two ranks.
Link link_of(int ranks, double small_seconds, double large_seconds, double bytes);

// Seconds after the end of backward at which the last bucket is summed, when bucket i is ready once its share of the
// gradients' bytes is done and buckets are reduced one after the other. Without overlap: the sum of all.
double exposed_seconds(const std::vector<double>& bucket_bytes, const std::vector<double>& bucket_seconds,
                       double backward_seconds, bool overlap);

// How much longer computing takes on `ranks` ranks than it did where it was measured.
double slowdown(const CostInputs& inputs, int ranks);

StepCost step_cost(const CostInputs& inputs, int ranks);
// 1, 2, 4, ... and `largest`, efficiencies against the first.
std::vector<StepCost> scaling_table(const CostInputs& inputs, int largest);

// A step's seconds from three measured ones with 1, `micro_batch` and 2 `micro_batch` sequences on one rank. A
// coefficient that noise made negative becomes zero and the others follow.
void fit_compute(CostInputs& inputs, double one_sequence, double one_micro_batch, double two_micro_batches);

}  // namespace tercet::job
