// One element of a family in one night: what follows from a run that has its verdict.
#pragma once

#include "element_run.hpp"
#include "family_folders.hpp"
#include "family_history.hpp"
#include "tercet/config/family_config.hpp"

namespace tercet::job {

class FamilyElementRun final : public ElementRun {
 public:
  FamilyElementRun(const FamilyConfig& family, const FamilyElement& element, const FamilyFolders& folders);

 private:
  void conclude(const std::string& verdict, ElementState& state) const override;
  void remember(const ElementState& state) const override;  // a night without a verdict is part of the history too
  void judge_against_history(HistoryEntry& entry, ElementState& state) const;
  void publish(HistoryEntry& entry) const;

  const FamilyConfig& family_;
  const FamilyFolders& folders_;
};

// The figures that a finished run ended with. Throws StoreError.
ElementFigures figures_of_run(const std::filesystem::path& run);

}  // namespace tercet::job
