// Where a study keeps what: the run folder of each job, what the driver knows of it, and the tables and plots.
#pragma once

#include <filesystem>
#include <string>

#include "element_run.hpp"

namespace tercet::job {

struct StudyFolders {
  std::filesystem::path output;

  std::filesystem::path run(const std::string& element) const { return output / "runs" / element; }
  ElementFiles files(const std::string& element) const {
    const std::filesystem::path jobs = output / "jobs";
    return {run(element), jobs / (element + ".yaml"), jobs / (element + ".json"), jobs / (element + ".lock"),
            jobs / (element + ".log")};
  }
};

}  // namespace tercet::job
