#include "cost_model.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "tercet/text/dataset.hpp"

namespace tercet::job {
namespace {

int rounds(int ranks) {  // of a tree or of recursive doubling: ceil(log2 ranks)
  return std::bit_width(static_cast<unsigned>(ranks - 1));
}

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

int on_one_node(const CostInputs& inputs, int ranks) {
  return std::min(ranks, std::max(1, inputs.ranks_per_node));
}

// How much longer computing takes when a node's threads outnumber its cores.
double crowding(const CostInputs& inputs, int ranks_on_node) {
  return std::max(1.0, static_cast<double>(ranks_on_node) * inputs.threads_per_rank / inputs.cores_per_node);
}

// Reductions run in a thread of their own: only a core that nobody computes on makes them free.
bool overlaps(const CostInputs& inputs, int ranks) {
  return inputs.own_engine || on_one_node(inputs, ranks) * (inputs.threads_per_rank + 1) <= inputs.cores_per_node;
}

std::int64_t share_of_busiest(std::int64_t items, int ranks) {
  const ShardRange first = shards_of_rank(static_cast<std::uint64_t>(items), 0, ranks);
  return static_cast<std::int64_t>(first.end - first.begin);
}

void add_communication(const CostInputs& inputs, double backward_seconds, StepCost& cost) {
  std::vector<double> seconds;
  for (const double bytes : inputs.bucket_bytes) {
    seconds.push_back(all_reduce_seconds(bytes, cost.ranks, inputs.latency_s, inputs.bytes_per_s));
  }
  const double small =
      inputs.small_reductions * all_reduce_seconds(16, cost.ranks, inputs.latency_s, inputs.bytes_per_s);
  cost.communication = std::accumulate(seconds.begin(), seconds.end(), small);
  cost.exposed = small + exposed_seconds(inputs.bucket_bytes, seconds, backward_seconds, overlaps(inputs, cost.ranks));
}

double checkpoint_seconds(const CostInputs& inputs, double seconds_between) {
  const double write = inputs.checkpoint_bytes / inputs.disk_bytes_per_s;
  if (!inputs.asynchronous_checkpoint) return write;
  return inputs.staged_bytes / inputs.copy_bytes_per_s + std::max(0.0, write - seconds_between);
}

}  // namespace

double all_reduce_seconds(double bytes, int ranks, double latency_s, double bytes_per_s) {
  if (ranks <= 1) return 0;
  const double n = ranks;
  const double ring = 2 * (n - 1) * latency_s + 2 * (n - 1) / n * bytes / bytes_per_s;
  const double doubling = rounds(ranks) * (latency_s + bytes / bytes_per_s);
  return std::min(ring, doubling);
}

Link link_of(int ranks, double small_seconds, double large_seconds, double bytes) {
  const double n = ranks;
  const double latency = small_seconds / rounds(ranks);
  // A small sum that was slow by chance must not leave the large one without time to move anything.
  const auto moving = [&](double messages) { return std::max(large_seconds - messages * latency, large_seconds / 10); };
  const double by_ring = 2 * (n - 1) / n * bytes / moving(2 * (n - 1));
  const double by_doubling = rounds(ranks) * bytes / moving(rounds(ranks));
  return {latency, std::min(by_ring, by_doubling)};
}

double exposed_seconds(const std::vector<double>& bucket_bytes, const std::vector<double>& bucket_seconds,
                       double backward_seconds, bool overlap) {
  if (!overlap) return std::accumulate(bucket_seconds.begin(), bucket_seconds.end(), 0.0);
  const double all = std::accumulate(bucket_bytes.begin(), bucket_bytes.end(), 0.0);
  double done = 0, free_from = 0;
  for (std::size_t i = 0; i < bucket_bytes.size(); ++i) {
    done += bucket_bytes[i];
    const double ready = backward_seconds * done / all;
    free_from = std::max(ready, free_from) + bucket_seconds[i];
  }
  return std::max(0.0, free_from - backward_seconds);
}

double slowdown(const CostInputs& inputs, int ranks) {
  if (inputs.own_engine) return 1.0;
  return crowding(inputs, on_one_node(inputs, ranks)) / crowding(inputs, inputs.measured_ranks);
}

StepCost step_cost(const CostInputs& inputs, int ranks) {
  StepCost cost;
  cost.ranks = ranks;
  const double slower = slowdown(inputs, ranks);
  const std::int64_t sequences = share_of_busiest(inputs.sequences_per_step, ranks);
  const std::int64_t micro_batches = ceil_divide(sequences, inputs.micro_batch);
  const std::int64_t last = sequences - (micro_batches - 1) * inputs.micro_batch;
  cost.compute =
      slower * (inputs.seconds_per_step + inputs.seconds_per_micro_batch * static_cast<double>(micro_batches) +
                inputs.seconds_per_sequence * static_cast<double>(sequences));
  const double backward = slower * inputs.backward_share *
                          (inputs.seconds_per_micro_batch + inputs.seconds_per_sequence * static_cast<double>(last));
  add_communication(inputs, backward, cost);
  if (inputs.evaluate_every > 0) {
    cost.evaluation = slower * inputs.seconds_per_evaluation_batch *
                      static_cast<double>(share_of_busiest(inputs.evaluation_batches, ranks)) /
                      static_cast<double>(inputs.evaluate_every);
  }
  if (inputs.checkpoint_every > 0) {
    const auto every = static_cast<double>(inputs.checkpoint_every);
    cost.checkpoint = checkpoint_seconds(inputs, every * (cost.step() + cost.evaluation)) / every;
  }
  cost.tokens_per_second = static_cast<double>(inputs.sequences_per_step * inputs.sequence_length) / cost.total();
  return cost;
}

std::vector<StepCost> scaling_table(const CostInputs& inputs, int largest) {
  std::vector<StepCost> table;
  for (std::int64_t ranks = 1; ranks < largest; ranks *= 2) table.push_back(step_cost(inputs, static_cast<int>(ranks)));
  table.push_back(step_cost(inputs, largest));
  for (StepCost& cost : table) {
    cost.efficiency = cost.tokens_per_second / (table.front().tokens_per_second * cost.ranks);
  }
  return table;
}

void fit_compute(CostInputs& inputs, double one_sequence, double one_micro_batch, double two_micro_batches) {
  const auto batch = static_cast<double>(inputs.micro_batch);
  const double second = std::max(0.0, two_micro_batches - one_micro_batch);  // what another micro-batch costs
  double per_sequence = second;
  if (inputs.micro_batch > 1) per_sequence = (one_micro_batch - one_sequence) / (batch - 1);
  inputs.seconds_per_sequence = std::clamp(per_sequence, 0.0, second / batch);
  inputs.seconds_per_micro_batch = second - batch * inputs.seconds_per_sequence;
  inputs.seconds_per_step = std::max(0.0, one_micro_batch - second);
}

}  // namespace tercet::job
