// The end of the compress job: the figures put together, judged, recorded and published.
#include <hdf5.h>
#include <mpi.h>

#include <filesystem>
#include <set>

#include "compress_job.hpp"
#include "html_page.hpp"
#include "model_loader.hpp"
#include "provenance.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/report/html_report.hpp"
#include "tercet/report/metadata.hpp"
#include "tercet/report/report.hpp"
#include "tercet/report/rounds_text.hpp"

namespace tercet::job {

namespace fs = std::filesystem;

namespace {

Figures figures(const Evaluation& evaluation) {
  return {evaluation.nll, evaluation.perplexity, evaluation.top1_accuracy, evaluation.top1_agreement, evaluation.kl};
}

std::string gradient_evidence(const GradientFlow& flow) {
  if (!flow.passed) return flow.problems.front() + " (" + std::to_string(flow.problems.size()) + " tensors in all)";
  return "all " + std::to_string(flow.tensors) + " tensors have a finite, non-zero gradient, norms " +
         format_fixed(flow.smallest_norm, 6) + " to " + format_fixed(flow.largest_norm, 3);
}

nlohmann::json sources_json(const Dataset& dataset) {
  nlohmann::json sources = nlohmann::json::array();
  for (const SourceRecord& source : dataset.sources()) {
    sources.push_back({{"path", source.path},
                       {"sha256", source.sha256},
                       {"bytes", source.bytes},
                       {"documents", source.documents},
                       {"tokens", source.tokens},
                       {"held_out_documents", source.held_out_documents},
                       {"held_out_tokens", source.held_out_tokens},
                       {"weight", source.weight}});
  }
  return sources;
}

// Embedding and head count among the compressed layers alone.
bool is_inside_blocks(const LayerRecord& layer) {
  return layer.role != to_string(Role::kEmbedding) && layer.role != to_string(Role::kHead);
}

// Zeros are a property of trits; a model without any is not judged by them.
GatesSection rules_for(GatesSection rules, const RunResults& results) {
  if (results.ternary_parameters == 0) rules.sparsity.severity = "off";
  return rules;
}

struct Method {
  std::string name = "BitNet-1.58";
  double bits = 1.58;  // of a code
};

// Of the matrices inside the blocks: ternary, another format that all of them have, or several.
Method method_of(const std::vector<LayerRecord>& layers) {
  std::set<std::string> formats;
  double bits = 0, weights = 0;
  for (const LayerRecord& layer : layers) {
    if (!is_inside_blocks(layer)) continue;
    const auto count = static_cast<double>(layer.rows * layer.columns);
    formats.insert(layer.format);
    bits += count * number_format(layer.format)->layout().bits_per_code();
    weights += count;
  }
  if (formats.empty()) return {"float16", 16};
  if (formats.size() == 1 && number_format(*formats.begin())->counts_zeros()) return {};
  return {formats.size() == 1 ? *formats.begin() : "mixed", bits / weights};
}

constexpr const char* kLastStage = "judge and publish";

std::string verdict_sentence(const Verdict& verdict) {
  return verdict.passed ? "every gate passed" : "a gate failed; the artifacts are in rejected/";
}

std::string files_text(const fs::path& run, const fs::path& artifacts) {
  return "\nartifacts: " + artifacts.string() + "\nreport:    " + (run / kHtmlReport).string() +
         "\nfigures:   " + (run / "run.h5").string() + "\nlogs:      " + (run / "log").string() + "\n";
}

}  // namespace

nlohmann::json CompressJob::provenance() const {
  return provenance_of(asked_, model_hash_);
}

RunResults CompressJob::results() const {
  RunResults results;
  results.baseline = config_.gates.compression_baseline;
  results.parameters = original_->decoder.parameter_count();
  const auto parameters = static_cast<std::uint64_t>(results.parameters);
  double zeros = 0;
  for (const LayerRecord& layer : layers_) {
    ++results.layers_compressed;
    if (!is_inside_blocks(layer)) continue;
    ++results.layers_quantized;
    results.quantized_parameters += layer.rows * layer.columns;
    if (!number_format(layer.format)->counts_zeros()) continue;
    results.ternary_parameters += layer.rows * layer.columns;
    zeros += layer.sparsity * static_cast<double>(layer.rows * layer.columns);
  }
  results.zero_parameters = std::llround(zeros);
  results.fp32_bytes = 4 * parameters;
  results.fp16_bytes = 2 * parameters;
  results.file_bytes = original_->weight_bytes;
  results.packed_bytes = packed_bytes_;
  results.dequantized_bytes = dequantized_bytes_;
  results.before = figures(before_);
  results.quantized = figures(quantized_);
  results.packed = figures(packed_);
  results.codec_agreement = agreement_;
  results.speed = speed_;
  results.speed_baseline = config_.gates.speedup_baseline;
  results.tasks = task_figures_;
  results.accuracy_task = config_.gates.accuracy_task;
  results.accuracy_metric = config_.gates.accuracy_metric;
  results.gradient_flow = gradient_flow_.passed;
  results.handoff = handoff_problems_.empty();
  if (training_) {
    results.fine_tuning = FineTuning{
        training_->steps, static_cast<double>(training_->tokens) / static_cast<double>(dataset_->training_tokens()),
        training_->seconds};
  }
  return results;
}

Measurements CompressJob::measurements(const RunResults& results) const {
  Measurements measured;
  measured.parameters = results.parameters;
  measured.packed_bytes = results.packed_bytes;
  measured.fp32_bytes = results.fp32_bytes;
  measured.fp16_bytes = results.fp16_bytes;
  measured.file_bytes = results.file_bytes;
  measured.sparsity = results.sparsity();
  measured.accuracy_before = judged_accuracy(&TaskFigures::before, results.before);
  measured.accuracy_after = judged_accuracy(&TaskFigures::packed, results.packed);
  measured.perplexity_before = results.before.perplexity;
  measured.perplexity_after = results.packed.perplexity;
  measured.agreement = results.codec_agreement;
  measured.speed = results.speed;
  measured.gradient_flow = results.gradient_flow;
  measured.gradient_flow_evidence = gradient_evidence(gradient_flow_);
  measured.handoff = results.handoff;
  measured.handoff_evidence = handoff_problems_.empty()
                                  ? "every artifact was opened anew and agrees with the packed codes"
                                  : handoff_problems_.front();
  return measured;
}

nlohmann::json CompressJob::metadata(const Verdict& verdict) const {
  MetadataInput input;
  input.results = results();
  input.verdict = verdict;
  const Method method = method_of(layers_);
  input.method = method.name;
  input.bits = method.bits;
  input.allocation = allocation_;
  input.config = {{"yaml", to_yaml(asked_)}, {"fingerprint", fingerprint(asked_)}};
  input.quantization = {{"format", config_.quantization.format},
                        {"symmetric", config_.quantization.symmetric},
                        {"granularity", config_.quantization.granularity},
                        {"group_size", config_.quantization.group_size},
                        {"rule", config_.quantization.rule},
                        {"activation_bits", config_.quantization.activation_bits},
                        {"embedding_bits", config_.quantization.embedding_bits},
                        {"head_bits", config_.quantization.head_bits},
                        {"table_group_size", config_.quantization.table_group_size}};
  input.data = sources_json(*dataset_);
  input.model = {{"path", config_.model.path},
                 {"weights_sha256", model_hash_},
                 {"tokenizer_sha256", original_->tokenizer->hash()}};
  input.versions = build_information();
  input.run = {{"ranks", comm_.size()},
               {"backend", comm_.backend()},
               {"attempt", run_file_.attempt()},
               {"started", iso_time(started_)}};
  input.exports = export_choices_;
  input.files = file_table(directory_.staged());
  input.created = unix_time();
  return compression_metadata(input);
}

void CompressJob::judge() {
  stage_ = round_.in_run_folder ? kLastStage : round_.name + ": " + kLastStage;
  say_status("running", "the figures are judged and the artifacts published");
  RoundOutcome outcome;
  outcome.round = round_;
  outcome.results = results();
  const Verdict verdict =
      judge_on_root(comm_, rules_for(config_.gates, outcome.results), measurements(outcome.results));
  outcome.gates = gate_records(verdict);
  outcome.layers = layers_;
  outcome.trits = trits_;
  outcome.solver = solver_;
  outcome.samples = samples_;
  if (training_) {
    outcome.tokens = training_->tokens;
    outcome.seconds = training_->seconds;
  }
  on_root(comm_, [&] {
    write_file_atomically(directory_.staged() / kMetadataFile, metadata_text(metadata(verdict)));
    return std::string();
  });
  if (!may_have_several_rounds(asked_)) {
    rounds_.push_back(std::move(outcome));
    return;
  }
  // What comes next follows from these figures: those of rank 0 count on all ranks.
  const std::string agreed = on_root(comm_, [&] { return to_json(outcome).dump(); });
  rounds_.push_back(outcome_from_json(round_, nlohmann::json::parse(agreed)));
  log::info("    round " + round_.name +
            (rounds_.back().passed() ? ": every gate passed" : " failed: " + rounds_.back().failure()));
}

// What was recorded last may be that of another round.
void CompressJob::record_kept(const RoundOutcome& kept) {
  run_file_.layers(kept.layers);
  if (!kept.solver.is_null()) run_file_.provenance(kSolverKey, kept.solver);
  if (!kept.samples.is_null()) run_file_.provenance(kSamplesKey, kept.samples);
  run_file_.provenance(kTritsKey, kept.trits);
  say_rounds(true);
  on_root(comm_, [&] {
    const fs::path file = directory_.of_kept(kept.round.name, kept.passed()) / kMetadataFile;
    nlohmann::json metadata = read_metadata(file);
    metadata["rounds"] = rounds_said_;
    write_file_atomically(file, metadata_text(metadata));
    return std::string();
  });
}

CommandResult CompressJob::publish() {
  stage_ = kLastStage;
  const RoundOutcome& kept = rounds_.at(round_to_keep(rounds_));
  const Verdict verdict = verdict_of(kept.gates);
  const ExitCode code = kept.passed() ? ExitCode::kPassed : ExitCode::kGateFailed;
  const fs::path target = kept.passed() ? directory_.artifacts() : directory_.rejected();
  if (has_several_rounds()) record_kept(kept);
  run_file_.provenance(kResultsKey, to_json(kept.results));
  run_file_.provenance("source", provenance());
  run_file_.provenance("data", sources_json(*dataset_));
  run_file_.gates(kept.gates);
  on_root(comm_, [&] {
    publish_directory(has_several_rounds() ? directory_.of_kept(kept.round.name, kept.passed()) : directory_.staged(),
                      target);
    remove_unfinished();
    return std::string();
  });
  const std::string why = kept.afterwards.empty() ? "" : " (" + kept.afterwards + ")";
  say_status(state_of(code), has_several_rounds() ? sentence_of(rounds_) : verdict_sentence(verdict) + why, code,
             verdict);
  const std::string report = on_root(comm_, [&] {
    const RunView view = view_run(directory_.path());
    write_html_page(view);
    return nlohmann::json({{"report", report_json(view)}, {"rounds", rounds_text(view.record)}}).dump();
  });
  const nlohmann::json known = nlohmann::json::parse(report);
  return {code, known.at("report"),
          "\n" + results_table(kept.results, kept.gates) + "\n" + gates_text(kept.gates) +
              known.at("rounds").get<std::string>() + files_text(directory_.path(), target)};
}

// On rank 0.
void CompressJob::remove_unfinished() const {
  std::error_code ignored;
  fs::remove_all(directory_.work(), ignored);
  fs::remove_all(directory_.rounds(), ignored);
}

// On rank 0. The job may have been killed between its publication and its last word.
void CompressJob::settle() {
  remove_unfinished();
  const auto status = read_status(directory_.path());
  const std::string state = status ? status->value("state", "") : "";
  if (state == "passed" || state == "gate_failed") return;
  const RunRecord run = load_run(directory_.path());
  const Verdict verdict = verdict_of(run.gates);
  const ExitCode code = verdict.passed ? ExitCode::kPassed : ExitCode::kGateFailed;
  begin_trackers();
  rounds_said_ = run.provenance.value(kRoundsKey, nlohmann::json());
  const std::string sentence = text_in(rounds_said_, "sentence");
  say_status(state_of(code), sentence.empty() ? verdict_sentence(verdict) : sentence, code, verdict);
}

CommandResult CompressJob::finished() {
  const std::string text = on_root(comm_, [&] {
    settle();
    const RunView view = view_run(directory_.path());
    if (!fs::exists(directory_.path() / kHtmlReport)) write_html_page(view);
    return nlohmann::json({{"passed", verdict_of(view.record.gates).passed},
                           {"text", report_text(view)},
                           {"report", report_json(view)}})
        .dump();
  });
  log::info("this run is complete; its results are shown again");
  const nlohmann::json known = nlohmann::json::parse(text);
  const ExitCode code = known.at("passed").get<bool>() ? ExitCode::kPassed : ExitCode::kGateFailed;
  return {code, known.at("report"), known.at("text").get<std::string>()};
}

}  // namespace tercet::job
