// A configuration written to a folder of its own that goes away with the object, and what loading it says.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "source_dir.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/config/job_config.hpp"

namespace tercet {

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) { folder_.write("job.yaml", text); }

  const std::filesystem::path& folder() const { return folder_.path(); }
  std::filesystem::path path() const { return folder_ / "job.yaml"; }

 private:
  test::ScratchFolder folder_;
};

inline JobConfig load(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return load_job_config(ConfigFile(text).path(), overrides);
}

// What is wrong with a configuration, with the folder's name taken out; "" if it loads.
inline std::string mistakes(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const ConfigFile file(text);
  try {
    load_job_config(file.path(), overrides);
    return "";
  } catch (const ConfigError& error) {
    std::string message = error.what();
    const std::string folder = file.folder().string() + "/";
    for (std::size_t at; (at = message.find(folder)) != std::string::npos;) message.erase(at, folder.size());
    return message;
  }
}

// The source tree this test was compiled from.
inline std::filesystem::path source_tree() {
  return TERCET_SOURCE_DIR;
}

}  // namespace tercet
