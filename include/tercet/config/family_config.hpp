// A family file: models times targets, each pair an element, and how the elements are run, judged and published.
// Every plain key has a row in config/family_schema.cpp, from which the section "Families" of docs/config.md is made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tercet/config/element_config.hpp"

namespace tercet {

struct FamilyModel {
  std::string name;
  std::string path;                   // Hugging Face folder
  std::optional<std::int64_t> ranks;  // unset: those of packing
  std::optional<std::int64_t> cpus, gpus;
};

struct FamilyTarget {
  std::string name;
};

// Compared with the last accepted run of the same element; the threshold is the share by which it may be worse.
struct RegressionSection {
  GateSetting perplexity{"fail", 0.02};
  GateSetting accuracy{"fail", 0.02};
  GateSetting packed_bytes{"fail", 0.02};
};

struct FamilyElement : Element {  // name: <model>-<target>; config: defaults, model and target laid over each other
  std::string model, target;
};

struct FamilyConfig {
  std::string name = "family";
  std::string output;
  std::int64_t keep = 7;  // publications of an element, the latest among them
  PackingSection packing;
  LimitsSection limits;
  RegressionSection regression;
  std::vector<FamilyModel> models;
  std::vector<FamilyTarget> targets;
  std::vector<FamilyElement> elements;  // by model, then by target, in the order of the file
};

// Reads and checks the whole file, every element's configuration included. Throws one ConfigError that lists every
// mistake as load_job_config does. Paths start from the file's folder; whether they exist is not looked at.
FamilyConfig load_family_config(const std::filesystem::path& file);

}  // namespace tercet
