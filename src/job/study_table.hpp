// The table of a study: each row's figures over its seeds, against the first row and against the control. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "study_outcome.hpp"
#include "study_statistics.hpp"
#include "tercet/config/study_config.hpp"

namespace tercet::job {

struct StudyLine {
  std::string name;
  bool is_control = false;
  std::vector<std::optional<double>> ratios;  // packed / original perplexity, by seed
  std::optional<Sample> ratio;                // the same, where measured
  std::optional<Sample> change;               // ratio - that of the first row, seed by seed; not of the first row
  std::optional<Sample> to_control;           // packed perplexity / that of the control, seed by seed
  std::optional<Sample> kl, agreement, accuracy, packed_bytes;
  std::optional<Sample> seconds;  // of training
  std::optional<double> time;     // training seconds / those of the first row, means
  std::optional<double> pace;     // time of a training token / that of the control, means
  std::string verdict;            // against the control, in words
  std::string remark;             // why there is no comparison with the control; empty: there is one
};

struct StudyTable {
  std::string name;
  std::vector<std::int64_t> seeds;
  bool has_control = true;
  std::vector<StudyLine> lines;  // as StudyConfig::rows
};

StudyTable table_of(const StudyConfig& study, const std::vector<StudyOutcome>& outcomes);

// The keys that decide what a model learns from and is measured on, where two jobs differ in them: only without any can
// one be the other's control. "training.tokens, data.sources"; empty: none.
std::string not_in_common(const JobConfig& one, const JobConfig& other);

}  // namespace tercet::job
