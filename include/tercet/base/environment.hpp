// Environment variables that can change a number: what the libraries below us read without asking. Those that lower the
// precision of fp32 arithmetic are removed at the start; the others are recorded with the run, and named in a warning
// when they are none that a launcher sets anyhow. The list, with reasons: docs/security.md.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tercet {

struct Influence {
  enum class Care { kRecorded, kWarned, kRemoved };
  std::string name, value;
  Care care = Care::kRecorded;
};

// Of an environment as main gets it ("NAME=value", ended by a null pointer), sorted by name.
std::vector<Influence> influences_in(const char* const* environment);

// To be called first in main, before any library looks: removes from the process what is to be removed, and remembers.
void settle_environment();

// Of what settle_environment saw. Before that: nothing.
nlohmann::json environment_record();  // {"MKL_CBWR": "AVX2", ...}, what was removed included
std::string environment_warning();    // one sentence, "" when there is nothing to say

std::string host_name();  // of this machine, as gethostname() has it

}  // namespace tercet
