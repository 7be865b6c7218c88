#include "time_plan.hpp"

#include <ATen/Parallel.h>

#include <thread>

#include "plan_measure.hpp"
#include "tercet/eval/evaluate.hpp"
#include "tercet/train/gradient_buckets.hpp"

namespace tercet::job {
namespace {

// What is taken where nothing is given and nothing can be measured: Ethernet of 10 Gbit/s, a slow shared disk.
constexpr double kAssumedGbps = 10, kAssumedLatency_us = 50, kAssumedDisk_MB = 200;
// Passes over the measured windows: the original; quantized, packed and dequantized each against it; dequantized
// against packed.
constexpr int kEvaluationPasses = 9;

// Forward pass of one model as the unit, backward being two: teacher and student, or the student alone.
double units_of(const PlannedJob& job) {
  const TrainerOptions& training = job.training;
  return training.distillation > 0 || training.hidden_loss > 0 || training.relation_loss > 0 ? 4.0 : 3.0;
}

class Inputs {
 public:
  Inputs(Communicator& comm, const PlannedJob& job, const PlanRequest& request)
      : comm_(comm), job_(job), request_(request) {}

  void compute() {
    const std::int64_t batch = job_.training.micro_batch;
    if (request_.step_seconds > 0) {
      const double given = request_.step_seconds;
      fit_compute(costs, given / static_cast<double>(batch), given, 2 * given);
      say("step of one rank with one micro-batch", "s", given, "given; taken as in proportion to sequences");
    } else {
      const std::string how = measure_compute(comm_, job_, costs);
      say("step of one rank with one micro-batch", "s",
          costs.seconds_per_step + costs.seconds_per_micro_batch +
              costs.seconds_per_sequence * static_cast<double>(batch),
          how);
    }
    say("of it, whatever the sequences", "s", costs.seconds_per_step, "follows");
    say("of it, for each micro-batch", "s", costs.seconds_per_micro_batch, "follows");
    say("of it, for each sequence", "s", costs.seconds_per_sequence, "follows");
    costs.backward_share = 2.0 / units_of(job_);
    say("share of backward in a micro-batch", "", costs.backward_share, "assumed: backward costs two forward passes");
  }

  void link() {
    const bool needed = request_.bandwidth_gbps <= 0 || request_.latency_us < 0;
    Link link{kAssumedLatency_us * 1e-6, kAssumedGbps * 1e9 / 8};
    std::string origin = "assumed: 10 Gbit/s Ethernet";
    if (needed && comm_.size() > 1) {
      link = measure_link(comm_, job_.device, largest_bucket());
      origin = "measured between the " + std::to_string(comm_.size()) + " ranks that are there";
    }
    costs.latency_s = request_.latency_us >= 0 ? request_.latency_us * 1e-6 : link.latency_s;
    costs.bytes_per_s = request_.bandwidth_gbps > 0 ? request_.bandwidth_gbps * 1e9 / 8 : link.bytes_per_s;
    say("latency of a message", "us", costs.latency_s * 1e6, request_.latency_us >= 0 ? "given" : origin);
    say("bandwidth of a rank's link", "Gbit/s", costs.bytes_per_s * 8e-9,
        request_.bandwidth_gbps > 0 ? "given" : origin);
  }

  void disk(const DiskPlan& plan) {
    costs.checkpoint_bytes = static_cast<double>(plan.checkpoint.bytes());
    costs.checkpoint_every = plan.checkpoints > 0 ? job_.training.checkpoint_every : 0;
    costs.asynchronous_checkpoint = job_.training.checkpoint.asynchronous;
    costs.staged_bytes = static_cast<double>(plan.checkpoint.most_of_rank);
    costs.copy_bytes_per_s = measure_copy();
    double speed = request_.disk_mb_s * 1e6;
    std::string origin = "given";
    if (speed <= 0) {
      speed = measure_disk(comm_, job_.config.output);
      origin = "measured: 64 MB written and synced by one rank near output";
    }
    if (speed <= 0) {
      speed = kAssumedDisk_MB * 1e6;
      origin = "assumed: output cannot be written to yet";
    }
    costs.disk_bytes_per_s = speed;
    say("disk, all ranks together", "MB/s", speed * 1e-6, origin);
    if (costs.checkpoint_every > 0 && costs.asynchronous_checkpoint) {
      say("copy of a rank's share", "MB/s", costs.copy_bytes_per_s * 1e-6, "measured");
    }
  }

  void node(int ranks_per_node) {
    costs.ranks_per_node = ranks_per_node;
    costs.measured_ranks = request_.step_seconds > 0 ? 1 : ranks_on_a_node(comm_);
    costs.threads_per_rank = at::get_num_threads();
    costs.cores_per_node = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    const bool other_nodes = request_.ranks_per_node > 0 && comm_.size() != job_.ranks;
    if (other_nodes) costs.cores_per_node = std::max(costs.cores_per_node, ranks_per_node * costs.threads_per_rank);
    costs.own_engine = job_.device != "cpu";
    say("ranks per node", "", ranks_per_node, request_.ranks_per_node > 0 ? "given" : "as now");
    say("threads per rank", "", costs.threads_per_rank, "as now");
    say("cores per node", "", costs.cores_per_node,
        other_nodes ? "assumed: at least one for each thread" : "as this machine");
  }

  void work(const WorldItems& items) {
    costs.sequences_per_step = job_.training.sequences_per_step;
    costs.sequence_length = job_.training.sequence_length;
    costs.micro_batch = job_.training.micro_batch;
    costs.small_reductions = job_.training.qk_clip > 0 ? 3 : 2;
    std::vector<TrainedParameter> parameters = planned_parameters(job_);
    for (const auto& bucket : cut_into_buckets(parameters, job_.training.bucket_bytes)) {
      double bytes = 0;
      for (const TrainedParameter* parameter : bucket) bytes += static_cast<double>(parameter->seen.nbytes());
      costs.bucket_bytes.push_back(bytes);
    }
    costs.evaluate_every = job_.training.evaluate_every;
    costs.evaluation_batches = static_cast<std::int64_t>(batch_count(items.selection_windows, items.evaluation_batch));
  }

  void evaluation() {
    costs.seconds_per_evaluation_batch =
        forward_seconds(job_.config.evaluation.batch, job_.config.evaluation.sequence_length);
  }

  // One model's forward pass over `sequences` of `length` tokens in one batch.
  double forward_seconds(std::int64_t sequences, std::int64_t length) const {
    const double tokens = static_cast<double>(sequences * length) / static_cast<double>(job_.training.sequence_length);
    return (costs.seconds_per_micro_batch + costs.seconds_per_sequence * tokens) / units_of(job_);
  }

  CostInputs costs;
  std::vector<NamedInput> named;

 private:
  void say(const std::string& name, const std::string& unit, double value, const std::string& origin) {
    named.push_back({name, unit, value, origin});
  }
  std::uint64_t largest_bucket() const {
    return static_cast<std::uint64_t>(*std::max_element(costs.bucket_bytes.begin(), costs.bucket_bytes.end()));
  }

  Communicator& comm_;
  const PlannedJob& job_;
  const PlanRequest& request_;
};

std::int64_t share_of_first(std::uint64_t items, int ranks) {
  return static_cast<std::int64_t>(shards_of_rank(items, 0, ranks).end);
}

// Of one rank: forward and backward passes of the student in every epoch, a window at a time, and five forward passes
// besides, of original and student, together as long as those of whole models.
double block_tuning_seconds(const PlannedJob& job, const Inputs& inputs) {
  const auto& blockwise = job.config.blockwise;
  if (!blockwise.enabled) return 0;
  const std::int64_t steps = blockwise.samples / blockwise.batch;
  const std::int64_t sequences = share_of_first(static_cast<std::uint64_t>(blockwise.batch), job.ranks);
  const std::int64_t window = std::min(blockwise.window, job.model.decoder.config().layers);
  const std::int64_t epochs = (blockwise.by_parts ? 3 : 1) * blockwise.epochs + blockwise.scale_epochs;
  return static_cast<double>((3 * window * epochs + 2 * window + 3) * steps) *
         inputs.forward_seconds(sequences, job.config.data.sequence_length);
}

}  // namespace

TimePlan plan_time(Communicator& comm, const PlannedJob& job, const DiskPlan& disk, int ranks_per_node,
                   const PlanRequest& request) {
  TimePlan plan;
  if (job.config.gates.speedup.severity != "off") plan.speed_s = job.config.gates.speedup_seconds;
  if (job.training.schedule.total_steps == 0) return plan;
  const WorldItems items = items_of(job);
  Inputs inputs(comm, job, request);
  inputs.work(items);
  inputs.node(ranks_per_node);
  inputs.compute();
  inputs.link();
  inputs.disk(disk);
  inputs.evaluation();
  plan.inputs = inputs.named;
  plan.steps = scaling_table(inputs.costs, job.ranks);
  plan.fine_tune_s = plan.steps.back().total() * static_cast<double>(job.training.schedule.total_steps);

  const auto samples =
      static_cast<std::int64_t>(items.calibration_samples / std::max<std::uint64_t>(1, items.calibration_shards));
  const int passes = job.config.calibration.second_moment ? 2 : 1;
  const double slower = slowdown(inputs.costs, job.ranks);
  plan.calibrate_s = slower * passes * static_cast<double>(share_of_first(items.calibration_shards, job.ranks)) *
                     inputs.forward_seconds(std::max<std::int64_t>(1, samples), job.config.data.sequence_length);
  plan.tune_blocks_s = slower * block_tuning_seconds(job, inputs);
  plan.evaluate_s =
      slower * kEvaluationPasses * inputs.costs.seconds_per_evaluation_batch *
      static_cast<double>(share_of_first(batch_count(items.evaluation_windows, items.evaluation_batch), job.ranks));
  return plan;
}

}  // namespace tercet::job
