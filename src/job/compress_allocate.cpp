// The stage of the compress job that chooses bits per layer for a target.
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "allocation_report.hpp"
#include "compress_job.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"

namespace tercet::job {
namespace {

std::string percent(double share) {
  return format_fixed(100 * share, 2) + " %";
}

}  // namespace

void CompressJob::allocate_bits() {
  const BitChoices choices(config_, original_->decoder);
  BitAllocation allocation;
  allocation.losses = sensitivities(choices);
  const Frontier frontier = choices.frontier(allocation.losses);
  allocation.exact = frontier.exact();
  allocation.budget = byte_budget(config_, original_->decoder, original_->weight_bytes);
  if (allocation.budget) {
    allocation.choice = choices.within(frontier, *allocation.budget);
    if (*allocation.budget >= choices.largest_bytes())
      log::info(target_text(config_.target) + " leaves more bytes than the largest formats take");
    if (config_.allocation.sensitivity == "kl") allocation.predicted_growth = allocation.choice.loss;
  } else {
    search_for_quality(choices, frontier, allocation);
  }
  keep_choice(choices, allocation);
  storage_ = choices.storage(allocation.choice.candidates);
  on_every_rank(comm_, [&] { check_planned_exports(); });
  log::info("bits per layer for " + target_text(config_.target) + ":\n" +
            allocation_table(config_.quantization, original_->decoder, choices, allocation.choice) + "packed file of " +
            format_count(allocation.choice.bytes) + " bytes, predicted loss " +
            format_fixed(allocation.choice.loss, 5) + (config_.allocation.sensitivity == "kl" ? " nats a token" : ""));
  allocation_ = allocation_record(config_, original_->decoder, choices, allocation);
  run_file_.provenance(kAllocationKey, allocation_);
}

// What an attempt chose, all later ones take, since finished units and checkpoints follow from it: a setting that may
// change in a run can tip a choice by the last bits of a measurement.
void CompressJob::keep_choice(const BitChoices& choices, BitAllocation& allocation) {
  constexpr const char* kUnit = "allocation";
  std::vector<std::size_t>& chosen = allocation.choice.candidates;
  if (const auto known = work_->find(kUnit)) {
    const auto earlier = nlohmann::json::parse(*known).get<std::vector<std::size_t>>();
    if (earlier == chosen) return;
    log::warn("the formats chosen by an earlier attempt are kept, though the measurements would now choose others");
    chosen = earlier;
    allocation.choice.bytes = choices.packed_bytes(chosen);
    allocation.choice.loss = 0;
    for (std::size_t layer = 0; layer < chosen.size(); ++layer)
      allocation.choice.loss += allocation.losses.at(layer).at(chosen[layer]);
  } else if (comm_.is_root()) {
    work_->add(kUnit, nlohmann::json(chosen).dump());
  }
}

std::vector<std::vector<double>> CompressJob::sensitivities(const BitChoices& choices) {
  SensitivityOptions options;
  options.measure = sensitivity(config_.allocation.sensitivity);
  options.solver = solver_options(config_.quantization);
  options.first_sample = static_cast<std::uint64_t>(config_.calibration.samples.value_or(0));
  options.samples = config_.allocation.samples;
  options.sequence_length = config_.data.sequence_length;
  options.batch = config_.calibration.batch;
  options.done = work_.get();
  options.stop = &stop_;
  Decoder model = original_->decoder;
  model.set_activation_bits(static_cast<int>(config_.quantization.activation_bits));
  return measure_sensitivities(
      comm_, model, statistics_, choices.layers(), options,
      [&](std::uint64_t index, std::span<std::int64_t> ids) { dataset_->training_sample(index, ids); });
}

double CompressJob::selection_nll(const std::string& name, const Decoder& model) {
  const std::string unit = "select/" + name + "/" + std::to_string(config_.evaluation.batch);
  return evaluate(comm_, model, selection_windows_, evaluation_options(unit)).nll;
}

// Each round quantizes and measures one choice. Rounds are kept as units of work by the formats they try.
void CompressJob::search_for_quality(const BitChoices& choices, const Frontier& frontier, BitAllocation& allocation) {
  const double limit = std::log1p(config_.target.perplexity_degradation);
  const bool nats = config_.allocation.sensitivity == "kl";
  const double before = selection_nll("original", original_->decoder);
  LossSearch search(frontier, limit, nats ? std::optional(1.0) : std::nullopt,
                    static_cast<int>(config_.allocation.rounds));
  while (const std::optional<Choice> choice = search.next()) {
    const std::vector<ParameterPlan> storage = choices.storage(choice->candidates);
    const Student student = quantized_student(storage);
    const double growth = selection_nll(storage_key(storage), student.decoder()) - before;
    search.measured(*choice, growth);
    const auto round = static_cast<std::int64_t>(search.trials().size());
    const std::uint64_t bytes = choices.packed_bytes(choice->candidates);
    record("allocation/predicted_nll_growth", round, search.trials().back().predicted, "nats");
    record("allocation/measured_nll_growth", round, growth, "nats");
    record("allocation/bytes", round, static_cast<double>(bytes), "bytes");
    log::info("round " + std::to_string(round) + ": " + format_count(bytes) + " bytes, perplexity grows by " +
              percent(std::expm1(growth)) + " on the selection windows, " +
              percent(std::expm1(search.trials().back().predicted)) + " was predicted");
  }
  allocation.rounds = search.trials();
  take_best(search, choices, allocation);
}

// What tuning may still win back is not known here: then the finest choice goes on, and the gate has the last word.
void CompressJob::take_best(const LossSearch& search, const BitChoices& choices, BitAllocation& allocation) {
  const Trial* best = search.best();
  if (best == nullptr) {
    const Trial& finest = search.trials().back();
    const std::string problem = target_text(config_.target) + " cannot be met";
    const std::string reason = "the finest formats give " + percent(std::expm1(finest.measured));
    if (!config_.training.enabled && !config_.blockwise.enabled) {
      throw ConfigError(
          problem, reason,
          "target.perplexity_degradation: " + format_fixed(std::ceil(std::expm1(finest.measured) * 1e4 + 1) / 1e4, 4) +
              " works, or finer allocation.formats");
    }
    log::warn(problem + " before tuning: " + reason + "; the job goes on with these");
    best = &finest;
  } else if (choices.packed_bytes(best->choice.candidates) == choices.smallest_bytes()) {
    log::info("the smallest formats meet " + target_text(config_.target));
  }
  allocation.choice = best->choice;
  allocation.choice.bytes = choices.packed_bytes(best->choice.candidates);
  allocation.predicted_growth = best->predicted;
}

void CompressJob::compare_with_prediction() {
  allocation_["measured_kl"] = *quantized_.kl;
  allocation_["measured_nll_growth"] = quantized_.nll - before_.nll;
  run_file_.provenance(kAllocationKey, allocation_);
  if (config_.allocation.sensitivity != "kl") return;
  log::info("    divergence " + format_fixed(*quantized_.kl, 5) + " nats a token, " +
            format_fixed(allocation_.at("predicted_loss").get<double>(), 5) + " was predicted");
}

void CompressJob::compare_bytes_with_prediction() {
  allocation_["written_bytes"] = packed_bytes_;
  run_file_.provenance(kAllocationKey, allocation_);
  const auto predicted = allocation_.at("predicted_bytes").get<std::uint64_t>();
  if (predicted == packed_bytes_) return;
  log::warn("the packed file has " + format_count(packed_bytes_) + " bytes, " + format_count(predicted) +
            " were predicted: this is an error of this program");
}

}  // namespace tercet::job
