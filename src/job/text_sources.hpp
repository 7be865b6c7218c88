// From configuration to text: the dataset's options and the windows that quality is measured on.
#pragma once

#include "tercet/config/job_config.hpp"
#include "tercet/eval/evaluate.hpp"
#include "tercet/text/dataset.hpp"

namespace tercet::job {

DatasetOptions dataset_options(const JobConfig& config);

constexpr std::uint64_t kSelectionWindows = 48;  // at most

struct EvaluationWindows {
  Windows measured;   // evaluation.windows of them: what is reported and judged
  Windows selection;  // others, for choosing the best training state; the measured ones only where text is short
};

// Collective. From data.evaluation files where given (then held-out documents of the sources select), else from the
// held-out documents. Throws DataError when there is not one window.
EvaluationWindows evaluation_windows(Communicator& comm, const JobConfig& config, const Dataset& dataset,
                                     const Tokenizer& tokenizer);

}  // namespace tercet::job
