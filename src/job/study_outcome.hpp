// What became of the jobs of a study, read from their run folders.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "study_folders.hpp"
#include "tercet/config/study_config.hpp"
#include "tercet/report/results.hpp"

namespace tercet::job {

struct StudyFigures {  // that a finished run recorded
  RunResults results;
  std::optional<double> tokens_per_second;          // of training, all ranks together: the median step
  std::vector<std::pair<double, double>> held_out;  // (tokens, perplexity) while training
  std::optional<double> ratio() const;              // packed / before perplexity
};

struct StudyOutcome {  // of one element
  std::string name;
  std::size_t row = 0;
  std::int64_t seed = 0;
  std::string state;   // as in ElementState; "interrupted" when its driver is gone; "not started"
  std::string reason;  // of anything but a pass
  std::string run;     // folder
  std::optional<StudyFigures> figures;
};

// In the order of the elements. Reads what the driver and the jobs wrote; runs nothing, changes nothing.
std::vector<StudyOutcome> outcomes_of(const StudyConfig& study, const StudyFolders& folders);

// 0: all were measured; 70: some were not.
int exit_code_of(const std::vector<StudyOutcome>& outcomes);

}  // namespace tercet::job
