// What `tercet family` left of its nights (docs/families.md), as far as it can be read: history, and the state of each
// element in each night. A stranger's words; damaged lines and files are passed over.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tercet::dashboard {

struct NightOutcome {  // of one element
  std::string night, state, reason;
  std::string published;  // name of the publication; empty: not accepted
  double time = 0;        // seconds since 1970; 0: not known
  std::optional<double> perplexity_before, perplexity, accuracy, ratio, packed_bytes;
};

struct FamilyElementHistory {
  std::string name;                   // <model>-<target>
  std::vector<NightOutcome> history;  // the oldest first; one of each night
  std::string latest;                 // the publication that models/<name>/latest names; empty: none

  const NightOutcome* at(const std::string& night) const;  // null: it has none
};

struct ElementTonight {  // what the driver knows of an element in one night
  std::string name, state, reason, published;
  std::size_t attempts = 0;
};

struct Family {
  std::string path;                 // below the folder of runs
  std::vector<std::string> nights;  // the newest first
  std::vector<FamilyElementHistory> elements;
  bool has(const std::string& night) const;
  const FamilyElementHistory* element(const std::string& name) const;  // null: there is none
};

Family read_family(const std::filesystem::path& folder, const std::string& path);
// `night` must be one of the family's.
std::vector<ElementTonight> read_night(const std::filesystem::path& folder, const std::string& night);

}  // namespace tercet::dashboard
