#include "study_element.hpp"

#include <map>

#include "tercet/base/error.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

// "training.tokens was 4096 and is 8192": the first of the keys that differ; empty: none does.
std::string difference(const JobConfig& before, const JobConfig& now) {
  const std::map<std::string, std::string> old = result_settings(before);
  for (const auto& [key, value] : result_settings(now)) {
    const auto found = old.find(key);
    const std::string known = found == old.end() ? "absent" : found->second;
    if (known != value) return key + " was " + known + " and is " + value;
  }
  return "";
}

}  // namespace

StudyElementRun::StudyElementRun(const StudyConfig& study, const StudyElement& element, const StudyFolders& folders)
    : ElementRun(element, study.limits, folders.files(element.name)) {}

void StudyElementRun::take_up(ElementState& state) const {
  if (fs::exists(files().config) && fs::exists(files().run)) {
    const std::string changed = difference(load_job_config(files().config, {}), job());
    if (!changed.empty()) {
      throw ConfigError("the run of '" + element().name + "' began with other settings", changed,
                        "remove '" + files().run.string() + "' to run it again, or choose another output");
    }
  }
  if (!has_verdict(state)) state = {};
}

}  // namespace tercet::job
