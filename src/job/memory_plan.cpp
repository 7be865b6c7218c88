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

std::uint64_t blocks_of_window(const PlannedJob& job) {
  return static_cast<std::uint64_t>(std::min(job.config.blockwise.window, job.model.decoder.config().layers));
}

// Residual streams, and activations of the window.
std::vector<MemoryItem> tuning_activations(const PlannedJob& job) {
  const auto& blockwise = job.config.blockwise;
  const ModelConfig& model = job.model.decoder.config();
  const std::int64_t steps = blockwise.samples / blockwise.batch;
  const std::int64_t sequences = steps * ((blockwise.batch + job.ranks - 1) / job.ranks);
  const std::int64_t streams = 2 * 4 * sequences * job.config.data.sequence_length * model.hidden_size;
  const std::uint64_t micro_batch =
      blocks_of_window(job) * training_activations(job) / static_cast<std::uint64_t>(model.layers);
  return {{"residual streams of the tuning sequences", static_cast<std::uint64_t>(streams)},
          {"activations of a micro-batch", micro_batch}};
}

MemoryStage block_tuning(const PlannedJob& job, std::uint64_t weights) {
  const auto layers = static_cast<std::uint64_t>(job.model.decoder.config().layers);
  MemoryStage stage{
      "tune blocks",
      {{"original", weights},
       {"masters", weights},
       {"seen values", weights},
       {"a window of blocks with its gradients and optimizer", 4 * blocks_of_window(job) * weights / layers}}};
  for (const MemoryItem& item : tuning_activations(job)) stage.items.push_back(item);
  return stage;
}

// Of a job that streams its weights, in fp32.
struct StreamedWeights {
  std::uint64_t outside = 0, block = 0;  // outside the blocks; a block
  std::uint64_t input_sums = 0;          // of calibration, by shard
  std::uint64_t solver = 0;              // second moments of a block, and what solving its widest layer takes
};

StreamedWeights streamed_weights(const PlannedJob& job) {
  StreamedWeights bytes;
  const auto layers = static_cast<std::uint64_t>(job.model.decoder.config().layers);
  const auto ranks = static_cast<std::uint64_t>(job.ranks);
  const std::uint64_t shards = (static_cast<std::uint64_t>(job.config.calibration.shards) + ranks - 1) / ranks;
  std::uint64_t widest = 0;
  for (const Parameter& parameter : job.model.decoder.parameters()) {
    if (parameter.layer != 0) {
      if (parameter.layer < 0) bytes.outside += parameter.value.nbytes();
      continue;
    }
    bytes.block += parameter.value.nbytes();
    if (!is_block_linear(parameter.role)) continue;
    const auto inputs = static_cast<std::uint64_t>(parameter.value.size(parameter.input_first ? 0 : 1));
    bytes.input_sums += layers * shards * 8 * inputs;
    bytes.solver += 2 * 8 * inputs * inputs;
    widest = std::max(widest, inputs);
  }
  bytes.solver = job.config.quantization.solver == "compensated" ? bytes.solver + 4 * 8 * widest * widest : 0;
  return bytes;
}

// Masters, seen values, gradients, two of AdamW, and what a window that gets no better goes back to.
constexpr std::uint64_t kOfTunedWindow = 6;

std::vector<MemoryStage> streamed_stages(const PlannedJob& job) {
  const StreamedWeights weights = streamed_weights(job);
  const ModelConfig& model = job.model.decoder.config();
  const std::uint64_t activations = evaluation_activations(job);
  const std::int64_t checked = 4 * (model.layers + 1) * model.hidden_size * job.config.evaluation.sequence_length *
                               std::min<std::int64_t>(4, job.config.evaluation.batch);
  std::vector<MemoryStage> stages{
      {"calibrate",
       {{"original outside its blocks", weights.outside},
        {"a block of the original", weights.block},
        {"sums of inputs", weights.input_sums},
        {"activations of an evaluation batch", activations}}},
      {"quantize",
       {{"original and student outside their blocks", 3 * weights.outside},
        {"a block: original, masters, quantized", 4 * weights.block},
        {"second moments and solver", weights.solver},
        {"activations of an evaluation batch", activations}}},
      {"measure what was packed",
       {{"original, student, packed and dequantized model outside their blocks", 5 * weights.outside},
        {"gradient check", 2 * (weights.outside + weights.block) + static_cast<std::uint64_t>(checked)},
        {"activations of an evaluation batch", activations}}}};
  if (!job.config.blockwise.enabled) return stages;
  MemoryStage tuning{"tune blocks",
                     {{"original and student outside their blocks", 3 * weights.outside},
                      {"a block of the original", weights.block},
                      {"a window of the student with its gradients and optimizer",
                       kOfTunedWindow * blocks_of_window(job) * weights.block}}};
  for (const MemoryItem& item : tuning_activations(job)) tuning.items.push_back(item);
  stages.insert(stages.end() - 1, std::move(tuning));
  return stages;
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
  if (streams_weights(job.config)) {
    plan.stages = streamed_stages(job);
    return plan;
  }
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
