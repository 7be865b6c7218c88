// A family file: models times targets, each pair an element, and how the elements are run, judged and published.
// Every plain key has a row in config/family_schema.cpp, from which the section "Families" of docs/config.md is made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tercet/config/job_config.hpp"

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

// What one element takes of its node. CPUs are those that Linux numbers; 0 CPUs: all of them, so it runs alone.
struct PackingSection {
  std::int64_t ranks = 1;
  std::int64_t cpus = 0;
  std::int64_t gpus = 0;
  std::int64_t at_once = 0;  // most elements at the same time; 0: as many as fit
};

struct LimitsSection {
  std::int64_t attempts = 5;       // that ended without a verdict and not on request
  std::int64_t idle_attempts = 2;  // of those, in a row and without progress
};

// Compared with the last accepted run of the same element; the threshold is the share by which it may be worse.
struct RegressionSection {
  GateSetting perplexity{"fail", 0.02};
  GateSetting accuracy{"fail", 0.02};
  GateSetting packed_bytes{"fail", 0.02};
};

struct FamilyElement {
  std::string name;  // <model>-<target>
  std::string model, target;
  std::int64_t ranks = 1, cpus = 0, gpus = 0;
  JobConfig config;  // defaults, model and target laid over each other; `output` depends on the night and is empty
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

// Whether a name can be part of a folder's name: letters, digits, '.', '_' and '-', not starting with '.' or '-'.
bool is_plain_name(const std::string& name);

}  // namespace tercet
