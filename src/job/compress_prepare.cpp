// The first stages of the compress job: inputs, text, and the original model's quality.
#include <algorithm>

#include "compress_job.hpp"
#include "decoding.hpp"
#include "export_settings.hpp"
#include "model_fit.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "text_sources.hpp"

namespace tercet::job {

void CompressJob::load_inputs() {
  on_every_rank(comm_, [&] {
    original_.emplace(
        load_model(config_.model.path, config_.model.tokenizer, runtime_.device(), WeightForm::kDense, residence()));
    if (original_->location.kind != ModelKind::kHuggingFace) {
      throw DataError("model.path '" + config_.model.path + "' is compressed already", "it is a packed artifact",
                      "give the original Hugging Face folder");
    }
    check_positions(original_->decoder.config(), config_.data.sequence_length, "data.sequence_length");
    check_positions(original_->decoder.config(), config_.evaluation.sequence_length, "evaluation.sequence_length");
    check_sample_prompt(config_.report, *original_->tokenizer, original_->decoder.config());
    check_fit(config_, original_->decoder.config());
    adapt_to_size(config_, original_->decoder.parameter_count());
    if (is_progressive(config_)) return check_stages();
    storage_ = plan_storage(config_.quantization, original_->decoder.parameters());
    if (has_target(config_)) {  // exports are checked when the formats are chosen
      check_budget(config_, original_->decoder, BitChoices(config_, original_->decoder), original_->weight_bytes);
    } else {
      check_planned_exports();
    }
  });
  const std::int64_t parameters = original_->decoder.parameter_count();
  model_hash_ = on_root(comm_, [&] {
    Sha256 hash;
    for (const auto& file : original_->weight_files) hash.update(sha256_file(file));
    return hash.hex();
  });
  log::info("model: " + to_string(original_->decoder.config().family) + ", " +
            format_count(static_cast<std::uint64_t>(parameters)) + " parameters (" + size_category(parameters) + "), " +
            format_bytes(original_->weight_bytes));
  if (is_progressive(config_)) return;
  for (const std::string& note : fit_notes(config_, original_->decoder, storage_)) log::info(note);
}

void CompressJob::prepare_text() {
  prepare_tasks();
  DatasetOptions options = dataset_options(config_);
  options.work = directory_.work() / "tokens";
  options.stop = &stop_;
  dataset_.emplace(Dataset::prepare(comm_, options, *original_->tokenizer));
  const EvaluationWindows cut = evaluation_windows(comm_, config_, *dataset_, *original_->tokenizer);
  windows_ = cut.measured;
  selection_windows_ = cut.selection;
  log::info("text: " + format_count(dataset_->training_tokens()) + " training tokens, quality measured on " +
            format_count(windows_.count) + " held-out windows of " + std::to_string(windows_.length));
  directory_.check_inputs(input_hashes());
  work_ = std::make_unique<WorkLog>(comm_, directory_.work(), directory_.fingerprint());
  if (work_->size() > 0) log::info(std::to_string(work_->size()) + " units of work were done by an earlier attempt");
}

void CompressJob::check_planned_exports() const {
  check_exports(config_.exports.formats, unfilled_artifact(config_, original_->decoder, storage_),
                export_settings(config_, *original_));
}

Traits CompressJob::input_hashes() const {
  Traits hashes{{"model weights", model_hash_}, {"tokenizer", original_->tokenizer->hash()}};
  for (std::size_t i = 0; i < dataset_->sources().size(); ++i) {
    hashes["text of data.sources[" + std::to_string(i) + "]"] = dataset_->sources()[i].sha256;
  }
  for (const Task& task : tasks_) hashes["files of the task " + task.name] = task.sha256;
  if (!comm_.is_root()) return hashes;  // rank 0 compares
  for (std::size_t i = 0; i < config_.data.evaluation.size(); ++i) {
    hashes["text of data.evaluation[" + std::to_string(i) + "]"] = sha256_file(config_.data.evaluation[i]);
  }
  return hashes;
}

void CompressJob::measure_original() {
  before_ = evaluate_here("original", original_->decoder, nullptr);
  record_evaluation("before", before_);
  measure_tasks("before", "original", original_->decoder, &TaskFigures::before);
}

}  // namespace tercet::job
