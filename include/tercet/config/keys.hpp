// The keys of a job as a list, for what helps people write them: shell completion.
#pragma once

#include <string>
#include <vector>

namespace tercet {

struct ConfigKey {
  std::string key;                   // "quantization.format"
  std::vector<std::string> choices;  // every value that it may have; empty: too many to list
  bool path = false;                 // the value names a file or folder
};

// Every key that `--set` takes, in the order of docs/config.md.
std::vector<ConfigKey> config_keys();

}  // namespace tercet
