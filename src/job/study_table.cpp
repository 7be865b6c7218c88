#include "study_table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace tercet::job {
namespace {

using Outcomes = std::vector<const StudyOutcome*>;  // of one row, by seed

template <class Get>
std::optional<Sample> sample_over(const Outcomes& outcomes, Get get) {
  std::vector<double> values;
  for (const StudyOutcome* outcome : outcomes) {
    if (!outcome->figures) continue;
    if (const std::optional<double> value = get(*outcome->figures)) values.push_back(*value);
  }
  return sample_of(values);
}

// get(one, other) where both rows have figures for a seed.
template <class Get>
std::optional<Sample> sample_of_pairs(const Outcomes& ones, const Outcomes& others, Get get) {
  std::vector<double> values;
  for (std::size_t seed = 0; seed < ones.size(); ++seed) {
    if (!ones[seed]->figures || !others[seed]->figures) continue;
    if (const std::optional<double> value = get(*ones[seed]->figures, *others[seed]->figures)) values.push_back(*value);
  }
  return sample_of(values);
}

std::optional<double> quotient(const std::optional<double>& above, const std::optional<double>& below) {
  return above && below && *below > 0 ? std::optional(*above / *below) : std::nullopt;
}

std::optional<double> mean_of(const std::optional<Sample>& sample) {
  return sample ? std::optional(sample->mean) : std::nullopt;
}

std::optional<double> training_seconds(const StudyFigures& figures) {
  const auto& tuning = figures.results.fine_tuning;
  return tuning ? std::optional(tuning->seconds) : std::nullopt;
}

std::optional<double> seconds_of_a_token(const StudyFigures& figures) {
  return quotient(1.0, figures.tokens_per_second);
}

std::optional<double> packed_perplexity(const StudyFigures& figures) {
  return figures.results.packed.perplexity;
}

StudyLine line_of(const StudyRow& row, const Outcomes& outcomes) {
  StudyLine line;
  line.name = row.name;
  line.is_control = row.is_control;
  for (const StudyOutcome* outcome : outcomes) {
    line.ratios.push_back(outcome->figures ? outcome->figures->ratio() : std::nullopt);
  }
  line.ratio = sample_over(outcomes, [](const StudyFigures& figures) { return figures.ratio(); });
  const auto of_packed = [&](std::optional<double> Figures::*figure) {
    return sample_over(outcomes, [figure](const StudyFigures& figures) { return figures.results.packed.*figure; });
  };
  line.kl = of_packed(&Figures::kl);
  line.agreement = of_packed(&Figures::agreement);
  line.accuracy = of_packed(&Figures::accuracy);
  line.packed_bytes = sample_over(outcomes, [](const StudyFigures& figures) {
    return std::optional(static_cast<double>(figures.results.packed_bytes));
  });
  line.seconds = sample_over(outcomes, training_seconds);
  return line;
}

// What is there of the row: "failed (2 of 3 seeds)".
std::string missing(const Outcomes& outcomes) {
  std::map<std::string, std::size_t> states;
  for (const StudyOutcome* outcome : outcomes) {
    if (!outcome->figures) ++states[outcome->state];
  }
  std::string text;
  for (const auto& [state, count] : states) {
    text += (text.empty() ? "" : ", ") + state + " (" + std::to_string(count) + " of " +
            std::to_string(outcomes.size()) + " seeds)";
  }
  return text;
}

// A ratio below one says little where the original itself would have gained by the same training.
std::string in_words(const StudyLine& line) {
  if (!line.to_control) return "no comparison";
  const bool below_one = line.ratio && line.ratio->mean < 1;
  switch (compare(*line.to_control, 1)) {
    case Standing::kBelow:
      return "better than the control";
    case Standing::kAbove:
      return std::string("worse than the control") + (below_one ? ": below 1 by the training alone" : "");
    case Standing::kNotToldApart:
      return std::string("not told apart from the control") + (below_one ? ": below 1 by the training" : "");
    case Standing::kUnknown:
      break;
  }
  return line.to_control->values.size() < 2 ? "one seed: no verdict" : "not finite: no verdict";
}

void add_verdict(StudyLine& line, const Outcomes& outcomes, bool has_control) {
  if (line.is_control) {
    line.verdict = "the control";
  } else if (line.ratio && has_control) {
    line.verdict = in_words(line);
  }
  const std::string absent = missing(outcomes);
  if (!absent.empty()) line.verdict += (line.verdict.empty() ? "" : "; ") + absent;
}

void compare_with_control(const StudyConfig& study, std::vector<StudyLine>& lines,
                          const std::vector<Outcomes>& outcomes) {
  const std::size_t control = lines.size() - 1;
  const std::optional<double> pace = mean_of(sample_over(outcomes[control], seconds_of_a_token));
  for (std::size_t row = 0; row < lines.size(); ++row) {
    StudyLine& line = lines[row];
    line.pace = quotient(mean_of(sample_over(outcomes[row], seconds_of_a_token)), pace);
    if (const std::string differs = not_in_common(study.elements[row].config, study.elements[control].config);
        !differs.empty()) {
      line.remark = "no comparison with the control, which has another " + differs;
      continue;
    }
    line.to_control =
        sample_of_pairs(outcomes[row], outcomes[control], [](const StudyFigures& one, const StudyFigures& other) {
          return quotient(packed_perplexity(one), packed_perplexity(other));
        });
    if (!line.to_control && line.ratio) line.remark = "the control was not measured";
  }
}

std::optional<double> change_of_ratio(const StudyFigures& one, const StudyFigures& other) {
  const auto now = one.ratio(), first = other.ratio();
  return now && first ? std::optional(*now - *first) : std::nullopt;
}

}  // namespace

std::string not_in_common(const JobConfig& one, const JobConfig& other) {
  constexpr std::array kKeys = {"model.path",        "model.tokenizer",        "data.sources",
                                "data.evaluation",   "data.held_out_fraction", "data.sequence_length",
                                "training.enabled",  "training.tokens",        "evaluation.sequence_length",
                                "evaluation.windows"};
  const auto tokens_in_all = [](const JobConfig& job) {  // scales alone learn from the text, too
    auto settings = result_settings(job);
    settings["training.tokens"] = std::to_string(job.training.tokens + job.training.polish_tokens);
    return settings;
  };
  const auto mine = tokens_in_all(one), its = tokens_in_all(other);
  std::string text;
  for (const char* key : kKeys) {
    if (mine.at(key) != its.at(key)) text += (text.empty() ? "" : ", ") + std::string(key);
  }
  return text;
}

StudyTable table_of(const StudyConfig& study, const std::vector<StudyOutcome>& outcomes) {
  StudyTable table{study.name, study.seeds, study.control, {}};
  std::vector<Outcomes> rows(study.rows.size());
  for (const StudyOutcome& outcome : outcomes) rows.at(outcome.row).push_back(&outcome);
  for (std::size_t row = 0; row < rows.size(); ++row) table.lines.push_back(line_of(study.rows[row], rows[row]));
  if (table.lines.empty()) return table;
  if (study.control) compare_with_control(study, table.lines, rows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    StudyLine& line = table.lines[row];
    if (row > 0) line.change = sample_of_pairs(rows[row], rows[0], change_of_ratio);
    line.time = quotient(mean_of(line.seconds), mean_of(table.lines[0].seconds));
    add_verdict(line, rows[row], study.control);
  }
  return table;
}

}  // namespace tercet::job
