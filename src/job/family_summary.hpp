// The table of a night: what became of each element, against what was accepted before, and the nights before.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "element_state.hpp"
#include "family_folders.hpp"
#include "family_history.hpp"
#include "tercet/config/family_config.hpp"

namespace tercet::job {

struct ElementSummary {
  std::string name, model, target;
  std::string state;   // as in ElementState; "interrupted" when its driver is gone; "not started"
  std::string reason;  // of anything but a pass
  ElementState details;
  std::vector<HistoryEntry> history;
  std::optional<HistoryEntry> tonight, accepted;  // of this night; the last accepted one of another night
  double seconds = 0;                             // of all attempts
};

// Reads what the drivers wrote; runs nothing, changes nothing.
std::vector<ElementSummary> summarize(const FamilyConfig& family, const FamilyFolders& folders);

// 0: all passed; 3: some failed a gate or the regression gate; 70: some have no verdict.
int exit_code_of(const std::vector<ElementSummary>& elements);

std::string summary_text(const std::vector<ElementSummary>& elements, const FamilyFolders& folders);
std::string summary_markdown(const std::string& family, const std::vector<ElementSummary>& elements,
                             const FamilyFolders& folders);
nlohmann::json summary_json(const std::string& family, const std::vector<ElementSummary>& elements,
                            const FamilyFolders& folders);

// nights/<night>/summary.md and summary.json, each replaced atomically. Throws StoreError.
void write_summary(const std::string& family, const std::vector<ElementSummary>& elements,
                   const FamilyFolders& folders);

}  // namespace tercet::job
