// One job of a study: a row with a seed.
#pragma once

#include "element_run.hpp"
#include "study_folders.hpp"
#include "tercet/config/study_config.hpp"

namespace tercet::job {

class StudyElementRun final : public ElementRun {
 public:
  StudyElementRun(const StudyConfig& study, const StudyElement& element, const StudyFolders& folders);

 private:
  // A run that began with other settings is no run of this row. Attempts are counted anew: who starts a study again
  // wants it tried again.
  void take_up(ElementState& state) const override;
};

}  // namespace tercet::job
