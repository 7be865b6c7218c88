#include "rounds.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <tuple>

#include "tercet/base/error.hpp"
#include "tercet/store/number_json.hpp"
#include "tercet/store/record_json.hpp"

namespace tercet::job {
namespace {

using nlohmann::json;

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

bool is_failure(const GateRecord& gate) {
  return gate.verdict == "fail" && gate.severity == "fail";
}

json number_or_null(const std::optional<double>& value) {
  return value ? number_to_json(*value) : json();
}

std::optional<double> growth_of(const RunResults& results) {
  const auto &before = results.before.perplexity, &after = results.packed.perplexity;
  return before && after && *before > 0 ? std::optional(*after / *before - 1) : std::nullopt;
}

// Rounds without an artifact come last.
std::tuple<bool, std::size_t, double> badness(const RoundOutcome& outcome) {
  return {!outcome.error.empty(), outcome.failed_gates().size(),
          outcome.results.packed.perplexity.value_or(std::numeric_limits<double>::infinity())};
}

json record_of(const RoundOutcome& outcome) {
  const Round& round = outcome.round;
  return {{"name", round.name},
          {"stage", round.stage + 1},
          {"format", round.quantization.format},
          {"remedy", round.remedy},
          {"because", round.because},
          {"did", round.did},
          {"starts_from", round.starts_from},
          {"tokens", outcome.tokens},
          {"training_seconds", number_to_json(outcome.seconds)},
          {"packed_bytes", outcome.results.packed_bytes},
          {"perplexity", number_or_null(outcome.results.packed.perplexity)},
          {"perplexity_growth", number_or_null(growth_of(outcome.results))},
          {"passed", outcome.passed()},
          {"failure", outcome.failure()},
          {"afterwards", outcome.afterwards},
          {"artifact", ""}};
}

}  // namespace

bool RoundOutcome::passed() const {
  return error.empty() && failed_gates().empty();
}

std::vector<std::string> RoundOutcome::failed_gates() const {
  std::vector<std::string> names;
  for (const GateRecord& gate : gates) {
    if (is_failure(gate)) names.push_back(gate.name);
  }
  return names;
}

std::string RoundOutcome::failure() const {
  std::string text = error;
  for (const GateRecord& gate : gates) {
    if (!is_failure(gate)) continue;
    text += (text.empty() ? "" : "; ") + gate.name + " " + short_number(gate.value) + ", wants " + gate.comparison;
  }
  return text;
}

bool is_progressive(const JobConfig& config) {
  return !config.progressive.formats.empty();
}

bool may_have_several_rounds(const JobConfig& config) {
  return is_progressive(config) || config.remedies.rounds > 0;
}

QuantizationSection settings_of_stage(const JobConfig& config, std::size_t stage) {
  return is_progressive(config) ? as_for(config.quantization, config.progressive.formats.at(stage))
                                : config.quantization;
}

Round round_of_stage(const JobConfig& config, std::size_t stage, std::size_t number, const std::string& starts_from) {
  Round round;
  round.quantization = settings_of_stage(config, stage);
  round.name = std::to_string(number) + "-" + round.quantization.format;
  round.in_run_folder = !is_progressive(config);
  round.stage = stage;
  round.starts_from = starts_from;
  round.tokens = tokens_of_stage(config, stage, config.training.tokens);
  round.polish_tokens = tokens_of_stage(config, stage, config.training.polish_tokens);
  return round;
}

bool next_stage_may_pass(const RoundOutcome& outcome) {
  return outcome.error.empty() && outcome.failed_gates() == std::vector<std::string>{"compression"};
}

std::size_t round_to_keep(const std::vector<RoundOutcome>& rounds) {
  for (std::size_t i = rounds.size(); i-- > 0;) {
    if (rounds[i].passed()) return i;
  }
  const auto best = std::min_element(rounds.begin(), rounds.end(), [](const RoundOutcome& a, const RoundOutcome& b) {
    return badness(a) < badness(b);
  });
  return static_cast<std::size_t>(best - rounds.begin());
}

std::string sentence_of(const std::vector<RoundOutcome>& rounds) {
  const RoundOutcome& kept = rounds.at(round_to_keep(rounds));
  const RoundOutcome& last = rounds.back();
  const std::string name = kept.round.name;
  if (!kept.passed()) {
    const std::string end = last.error.empty() ? last.afterwards : last.round.name + ": " + last.error;
    return "no round passed; the artifacts of " + name + " are in rejected/: " + kept.failure() +
           (end.empty() ? "" : " (" + end + ")");
  }
  if (&kept != &last) {
    return name + " is kept, where every gate passed; " + last.round.name + " failed: " + last.failure() +
           (last.afterwards.empty() ? "" : " (" + last.afterwards + ")");
  }
  const std::string remedy = kept.round.remedy;
  return "every gate passed in " + name +
         (remedy.empty() ? "" : ", after " + remedy + " because of " + kept.round.because);
}

json rounds_record(const JobConfig& config, const std::vector<RoundOutcome>& rounds, const Round& under_way,
                   bool over) {
  json list = json::array();
  const std::size_t kept = rounds.empty() ? 0 : round_to_keep(rounds);
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    json record = record_of(rounds[i]);
    if (over && i == kept) record["artifact"] = rounds[i].passed() ? "artifacts" : "rejected";
    if (!over && rounds[i].error.empty())
      record["artifact"] = "rounds/" + rounds[i].round.name + (rounds[i].passed() ? "/artifacts" : "/rejected");
    list.push_back(record);
  }
  const Round& shown = over ? rounds.at(kept).round : under_way;
  const bool remedies = config.remedies.rounds > 0;
  return {{"list", list},
          {"kept", over ? json(rounds.at(kept).round.name) : json()},
          // The round that reports are about, where its figures are recorded as rounds/<name>/….
          {"figures", shown.in_run_folder ? json() : json(shown.name)},
          {"sentence", over ? json(sentence_of(rounds)) : json()},
          {"budget", remedies ? json{{"rounds", config.remedies.rounds}, {"tokens", config.remedies.tokens}} : json()}};
}

json to_json(const RoundOutcome& outcome) {
  return {{"name", outcome.round.name},
          {"results", to_json(outcome.results)},
          {"gates", table_to_json(outcome.gates)},
          {"layers", table_to_json(outcome.layers)},
          {"trits", outcome.trits},
          {"solver", outcome.solver},
          {"samples", outcome.samples},
          {"tokens", outcome.tokens},
          {"training_seconds", number_to_json(outcome.seconds)},
          {"error", outcome.error},
          {"afterwards", outcome.afterwards}};
}

RoundOutcome outcome_from_json(const Round& round, const json& object) {
  const auto refuse = [&](const char* why) {
    throw StoreError("the outcome of round '" + round.name + "' cannot be read", why,
                     "remove its folder below rounds/ to compute it again");
  };
  RoundOutcome outcome;
  try {
    outcome.round = round;
    if (object.at("name") != round.name) throw StoreError("the outcome is that of another round");
    outcome.results = results_from_json(object.at("results"));
    outcome.gates = gates_from_json(object.at("gates"));
    outcome.layers = layers_from_json(object.at("layers"));
    outcome.trits = object.at("trits");
    outcome.solver = object.at("solver");
    outcome.samples = object.at("samples");
    outcome.tokens = object.at("tokens");
    outcome.seconds = number_from_json(object.at("training_seconds"));
    outcome.error = object.at("error");
    outcome.afterwards = object.at("afterwards");
  } catch (const json::exception& error) {
    refuse(error.what());
  } catch (const DataError& error) {
    refuse(error.what());
  }
  return outcome;
}

}  // namespace tercet::job
