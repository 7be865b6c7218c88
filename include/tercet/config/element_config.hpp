// What the files of `tercet family` and `tercet study` have in common: elements, jobs that a driver runs as processes
// of their own on one node.
#pragma once

#include <cstdint>
#include <string>

#include "tercet/config/job_config.hpp"

namespace tercet {

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

struct Element {
  std::string name;  // of files and folders, unlike that of any other element
  std::int64_t ranks = 1, cpus = 0, gpus = 0;
  JobConfig config;  // `output` is for the driver to say
};

// Whether a name can be part of a folder's name: letters, digits, '.', '_' and '-', not starting with '.' or '-'.
bool is_plain_name(const std::string& name);

}  // namespace tercet
