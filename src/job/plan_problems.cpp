#include "plan_problems.hpp"

#include <algorithm>

#include "decoding.hpp"
#include "export_settings.hpp"
#include "model_fit.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/text.hpp"
#include "tercet/eval/evaluate.hpp"

namespace tercet::job {
namespace {

using Texts = std::vector<std::string>;

// `key` is the setting, `value` what it is; `works` the nearest value with which the job runs.
std::string problem(const std::string& key, std::int64_t value, const std::string& reason, std::int64_t works) {
  return key + " is " + std::to_string(value) + ", " + reason + "; " + key + ": " + std::to_string(works) + " works";
}

void check_length(const PlannedJob& job, const std::string& key, std::int64_t length, Texts& problems) {
  const std::int64_t limit = job.model.decoder.config().max_positions;
  if (length > limit) problems.push_back(problem(key, length, "longer than the model's positions", limit));
}

void check_calibration(const PlannedJob& job, Texts& problems) {
  const CalibrationSection& calibration = job.config.calibration;
  const std::int64_t shards = std::max<std::int64_t>(calibration.shards, job.ranks);
  if (calibration.shards < job.ranks) {
    problems.push_back(problem("calibration.shards", calibration.shards,
                               "and each of " + std::to_string(job.ranks) + " ranks needs one", shards));
  }
  const std::int64_t samples = calibration.samples.value_or(0);
  if (samples < shards) {
    problems.push_back(
        problem("calibration.samples", samples, "and each of " + std::to_string(shards) + " shards needs one", shards));
  }
}

void check_training(const PlannedJob& job, Texts& problems) {
  const TrainingSection& training = job.config.training;
  if (!training.enabled) return;
  const std::int64_t length = job.config.data.sequence_length;
  const std::int64_t sequences = training.global_batch_tokens / length;
  const std::int64_t batch = std::max(training.global_batch_tokens, job.ranks * length);
  if (sequences < job.ranks) {
    problems.push_back(problem("training.global_batch_tokens", training.global_batch_tokens,
                               std::to_string(sequences) + " sequences of " + std::to_string(length) + " tokens for " +
                                   std::to_string(job.ranks) + " ranks",
                               batch));
  }
  if (training.tokens < batch) {
    problems.push_back(
        problem("training.tokens", training.tokens, "less than a step of " + std::to_string(batch) + " tokens", batch));
  }
}

void check_exports(const PlannedJob& job, const std::vector<ParameterPlan>& storage, Texts& problems) {
  for (const std::string& refused :
       export_problems(job.config.exports.formats, unfilled_artifact(job.config, job.model.decoder, storage),
                       export_settings(job.config, job.model)))
    problems.push_back(refused);
}

template <typename Check>
void collect(Texts& problems, Check check) {
  try {
    check();
  } catch (const ConfigError& error) {
    problems.push_back(error.what());
  }
}

int most_ranks(const PlannedJob& job) {
  std::int64_t ranks = std::min(job.config.calibration.shards, job.config.calibration.samples.value_or(0));
  if (job.config.training.enabled) {
    ranks = std::min(ranks, job.config.training.global_batch_tokens / job.config.data.sequence_length);
  }
  return static_cast<int>(ranks);
}

std::string memory_text(const PlannedJob& job, const MemoryPlan& memory, const NodeLimits& node) {
  const std::uint64_t needed = memory.per_rank() * static_cast<std::uint64_t>(node.ranks_per_node);
  const std::uint64_t fitting = std::max<std::uint64_t>(1, node.memory / std::max<std::uint64_t>(1, memory.per_rank()));
  const bool fits_alone = memory.per_rank() <= node.memory;
  return std::to_string(node.ranks_per_node) + " ranks of " + format_bytes(memory.per_rank()) + " (stage '" +
         memory.largest().name + "') need " + format_bytes(needed) + " on a node of " + format_bytes(node.memory) +
         "; " +
         (fits_alone
              ? std::to_string(fitting) + " ranks per node fit"
              : "not even one fits: lower training.micro_batch (" + std::to_string(job.config.training.micro_batch) +
                    ") and evaluation.batch, take a larger node, or stream the weights (model.weights)");
}

bool exceeds_memory(const PlannedJob& job, const MemoryPlan& memory, const NodeLimits& node) {
  return job.device == "cpu" && memory.per_rank() * static_cast<std::uint64_t>(node.ranks_per_node) > node.memory;
}

}  // namespace

Texts setting_problems(const PlannedJob& job) {
  Texts problems;
  check_length(job, "data.sequence_length", job.config.data.sequence_length, problems);
  check_length(job, "evaluation.sequence_length", job.config.evaluation.sequence_length, problems);
  check_calibration(job, problems);
  check_training(job, problems);
  const ModelConfig& model = job.model.decoder.config();
  collect(problems, [&] { check_sample_prompt(job.config.report, *job.model.tokenizer, model); });
  collect(problems, [&] { check_fit(job.config, model); });
  if (job.evaluation_tokens == 0) {
    problems.push_back("no text is held out to measure on; data.evaluation or data.held_out_fraction: 0.05 works");
  }
  check_exports(job, job.storage, problems);
  for (const auto& stage : job.earlier_stages) check_exports(job, stage, problems);
  return problems;
}

Texts resource_problems(const PlannedJob& job, const MemoryPlan& memory, const DiskPlan& disk, const NodeLimits& node) {
  Texts problems;
  if (node.known && exceeds_memory(job, memory, node)) problems.push_back(memory_text(job, memory, node));
  const std::uint64_t free = free_space(job.config.output);
  if (disk.total() > free) {
    problems.push_back("the run needs " + format_bytes(disk.total()) + " on disk, " + format_bytes(free) +
                       " are free at output '" + job.config.output +
                       "'; another output or a lower checkpoint.keep works");
  }
  return problems;
}

Texts plan_notes(const PlannedJob& job, const std::vector<Sharing>& world, const MemoryPlan& memory,
                 const NodeLimits& node) {
  Texts notes = fit_notes(job.config, job.model.decoder, job.storage);
  for (const Sharing& share : world) {
    if (share.idle == 0 || share.items == 0) continue;
    notes.push_back(std::to_string(share.idle) + " of " + std::to_string(job.ranks) +
                    " ranks have nothing to do with '" + share.what + "' (" + std::to_string(share.items) + ")");
  }
  const auto windows = items_of(job).evaluation_windows;
  if (windows == 0) {
    notes.push_back("about " + std::to_string(job.evaluation_tokens) +
                    " tokens are held out, perhaps not one window of " +
                    std::to_string(job.config.evaluation.sequence_length));
  }
  const auto batch = static_cast<std::uint64_t>(job.config.evaluation.batch);
  if (windows > 0 && batch_count(windows, batch) < static_cast<std::uint64_t>(job.ranks) && batch > 1) {
    const std::uint64_t works = std::max<std::uint64_t>(1, windows / static_cast<std::uint64_t>(job.ranks));
    notes.push_back("evaluation.batch: " + std::to_string(works) + " would spread " + std::to_string(windows) +
                    " windows over more ranks");
  }
  if (job.config.remedies.rounds > 0) {
    notes.push_back("remedies may add up to " + std::to_string(job.config.remedies.rounds) + " rounds and " +
                    std::to_string(job.config.remedies.tokens) +
                    " tokens of training, which are not in the times below");
  }
  if (!node.known && exceeds_memory(job, memory, node)) {
    notes.push_back("if the nodes are like this one: " + memory_text(job, memory, node));
  }
  return notes;
}

void refuse_if_any(const PlannedJob& job, const Texts& problems) {
  if (problems.empty()) return;
  std::string text = "this job cannot run on " + std::to_string(job.ranks) + " ranks:";
  for (const std::string& each : problems) text += "\n  " + each;
  const int most = most_ranks(job);
  if (most >= 1 && most < job.ranks)
    text += "\n  without changes at most " + std::to_string(most) + " ranks can share it";
  throw ConfigError(text);
}

}  // namespace tercet::job
