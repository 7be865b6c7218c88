// What a run is a run of: the settings that can change results and the hashes of its inputs, as they were when it was
// started. Kept in <run>/identity.json; a later attempt with other ones is refused, with what changed.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tercet::job {

using Traits = std::map<std::string, std::string>;  // key to value

class RunIdentity {
 public:
  // Reads identity.json where there is one. `allowed` are keys that may differ. Throws StoreError for a damaged file.
  RunIdentity(const std::filesystem::path& folder, std::vector<std::string> allowed);

  // Compares with what the run was started with, or records it when `part` is not known yet. Returns the differences
  // that were allowed, "key: was A, is B". Throws ConfigError that lists all the others.
  std::vector<std::string> check(const std::string& part, const Traits& now);

  // SHA-256 over everything recorded: the name of this run's work. Stays the same when an allowed key changes.
  std::string fingerprint() const;

 private:
  std::filesystem::path file_;
  std::vector<std::string> allowed_;
  std::map<std::string, Traits> parts_;
};

}  // namespace tercet::job
