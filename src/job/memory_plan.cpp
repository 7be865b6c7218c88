#include "memory_plan.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include "starting_points.hpp"
#include "tercet/store/checkpoint_size.hpp"

namespace tercet::job {
namespace {

std::uint64_t page_bytes() {
  return static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE));
}

std::uint64_t bytes_of(const StateTensors& state) {
  return std::accumulate(state.begin(), state.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& entry) { return sum + entry.second.nbytes(); });
}

// Kept for the backward pass, per token: about 18 hidden-size and 5 intermediate-size values per block in four bytes
// (attention probabilities are not stored), and the logits of student and teacher with their gradient.
std::uint64_t training_activations(const PlannedJob& job) {
  const ModelConfig& model = job.model.decoder.config();
  const std::int64_t tokens = job.training.micro_batch * job.training.sequence_length;
  const std::int64_t values =
      model.layers * (18 * model.hidden_size + 5 * model.intermediate_size) + 3 * model.vocab_size;
  // Attention relations of query, key and value: log-probabilities of both models, and their difference.
  const std::int64_t relations = job.training.relation_loss > 0 ? 9 * model.heads * job.training.sequence_length : 0;
  return static_cast<std::uint64_t>(4 * tokens * (values + relations));
}

// Without a backward pass: one block at a time, and logits, log-probabilities and one product of both models.
std::uint64_t evaluation_activations(const PlannedJob& job) {
  const ModelConfig& model = job.model.decoder.config();
  const std::int64_t tokens = job.config.evaluation.batch * job.config.evaluation.sequence_length;
  return static_cast<std::uint64_t>(4 * tokens *
                                    (6 * model.vocab_size + 8 * model.hidden_size + 3 * model.intermediate_size));
}

// X'X of every layer: the accumulators, and the shard under way.
std::uint64_t second_moments(const PlannedJob& job) {
  if (!needs_second_moments(job.config)) return 0;
  std::uint64_t bytes = 0;
  for (const Parameter& parameter : job.model.decoder.parameters()) {
    if (!is_block_linear(parameter.role)) continue;
    const auto inputs = static_cast<std::uint64_t>(parameter.value.size(parameter.input_first ? 0 : 1));
    bytes += 2 * 8 * inputs * inputs;
  }
  return bytes;
}

MemoryStage fine_tuning(const PlannedJob& job, std::uint64_t weights) {
  std::vector<TrainedParameter> parameters = planned_parameters(job);
  const std::uint64_t optimizer = bytes_of(make_optimizer(parameters, job.training.optimizer, job.ranks)->state());
  std::uint64_t updates = 0;  // Muon's, before they are applied
  for (const TrainedParameter& parameter : parameters) {
    const bool by_muon = job.training.optimizer.kind == "mugrokfast" && is_block_linear(parameter.role);
    if (by_muon) updates += parameter.master.nbytes();
  }
  MemoryStage stage{"fine-tune",
                    {{"teacher", weights},
                     {"masters", weights},
                     {"seen values", weights},
                     {"gradients, in buckets", weights},
                     {"optimizer", optimizer + updates},
                     {"best state so far", weights},
                     {"activations of a micro-batch", training_activations(job)}}};
  if (job.training.checkpoint_every > 0) {
    stage.items.push_back(
        {"checkpoint staged on the host", checkpoint_size(planned_state(job), job.ranks).most_of_rank});
  }
  return stage;
}

MemoryStage block_tuning(const PlannedJob& job, std::uint64_t weights) {
  const auto& blockwise = job.config.blockwise;
  const ModelConfig& model = job.model.decoder.config();
  const std::int64_t steps = blockwise.samples / blockwise.batch;
  const std::int64_t sequences = steps * ((blockwise.batch + job.ranks - 1) / job.ranks);
  const auto window = static_cast<std::uint64_t>(std::min(blockwise.window, model.layers));
  const auto layers = static_cast<std::uint64_t>(model.layers);
  const std::int64_t streams = 2 * 4 * sequences * job.config.data.sequence_length * model.hidden_size;
  return {"tune blocks",
          {{"original", weights},
           {"masters", weights},
           {"seen values", weights},
           {"residual streams of the tuning sequences", static_cast<std::uint64_t>(streams)},
           {"a window of blocks with its gradients and optimizer", 4 * window * weights / layers},
           {"activations of a micro-batch", window * training_activations(job) / layers}}};
}

}  // namespace

std::uint64_t MemoryStage::total() const {
  return std::accumulate(items.begin(), items.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const MemoryItem& item) { return sum + item.bytes; });
}

const MemoryStage& MemoryPlan::largest() const {
  return *std::max_element(stages.begin(), stages.end(),
                           [](const MemoryStage& a, const MemoryStage& b) { return a.total() < b.total(); });
}

MemoryPlan plan_memory(const PlannedJob& job, std::uint64_t process_bytes) {
  const std::uint64_t weights = 4 * job.parameters();
  const bool training = job.training.schedule.total_steps > 0;
  MemoryPlan plan;
  plan.process = process_bytes;
  plan.stages.push_back({"calibrate", {{"original", weights}, {"second moments", second_moments(job)}}});
  if (job.config.blockwise.enabled) plan.stages.push_back(block_tuning(job, weights));
  if (training) plan.stages.push_back(fine_tuning(job, weights));
  plan.stages.push_back({"measure what was packed",
                         {{"original", weights},
                          {"student", (training ? 3 : 2) * weights},
                          {"packed and dequantized model", 2 * weights},
                          {"gradient check", 2 * weights},
                          {"activations of an evaluation batch", evaluation_activations(job)}}});
  return plan;
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * page_bytes();
}

std::uint64_t host_memory() {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * page_bytes();
}

}  // namespace tercet::job
