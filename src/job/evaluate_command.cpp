// tercet evaluate: the figures of any model on any text, by the protocol of non-overlapping windows.
#include <optional>

#include "model_loader.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/eval/evaluate.hpp"
#include "tercet/job/commands.hpp"

namespace tercet {
namespace {

nlohmann::json to_json(const Evaluation& evaluation) {
  nlohmann::json json{{"tokens", evaluation.tokens},
                      {"nll", evaluation.nll},
                      {"perplexity", evaluation.perplexity},
                      {"top1_accuracy", evaluation.top1_accuracy}};
  if (evaluation.top1_agreement) json["top1_agreement"] = *evaluation.top1_agreement;
  if (evaluation.kl) json["kl"] = *evaluation.kl;
  return json;
}

std::string to_text(const Evaluation& evaluation) {
  std::vector<std::vector<std::string>> rows{{"measure", "value"},
                                             {"tokens", std::to_string(evaluation.tokens)},
                                             {"nll", format_fixed(evaluation.nll, 6)},
                                             {"perplexity", format_fixed(evaluation.perplexity, 5)},
                                             {"top1_accuracy", format_fixed(evaluation.top1_accuracy, 5)}};
  if (evaluation.top1_agreement) rows.push_back({"top1_agreement", format_fixed(*evaluation.top1_agreement, 5)});
  if (evaluation.kl) rows.push_back({"kl", format_fixed(*evaluation.kl, 6)});
  return format_table(rows);
}

void check_same_vocabulary(const job::LoadedModel& model, const job::LoadedModel& reference) {
  if (model.decoder.config().vocab_size == reference.decoder.config().vocab_size) return;
  throw DataError("the two models cannot be compared token by token",
                  "their vocabularies have " + std::to_string(model.decoder.config().vocab_size) + " and " +
                      std::to_string(reference.decoder.config().vocab_size) + " entries");
}

}  // namespace

CommandResult evaluate_model(Runtime& runtime, Communicator& comm, const EvaluateRequest& request) {
  std::optional<job::LoadedModel> model, reference;
  on_every_rank(comm, [&] {
    model.emplace(job::load_model(request.model, request.tokenizer, runtime.device()));
    if (!request.against.empty()) {
      reference.emplace(job::load_model(request.against, model->location.tokenizer, runtime.device()));
      check_same_vocabulary(*model, *reference);
    }
    job::check_positions(model->decoder.config(), request.sequence_length, "--sequence-length");
  });
  const Windows windows = windows_of(tokenize_file(comm, request.data, *model->tokenizer), request.sequence_length)
                              .first(static_cast<std::uint64_t>(request.windows));
  const Evaluation evaluation =
      evaluate(comm, model->decoder, windows, {request.batch, true}, reference ? &reference->decoder : nullptr);
  return {ExitCode::kPassed, to_json(evaluation), to_text(evaluation)};
}

}  // namespace tercet
