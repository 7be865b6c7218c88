#include "run_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet::job {
namespace fs = std::filesystem;

RunDirectory::RunDirectory(Communicator& comm, const JobConfig& config) : path_(config.output) {
  if (path_.empty()) {
    throw ConfigError("output is not set", "a job needs a folder for its results", "write output: runs/<name>");
  }
  on_root(comm, [&] {
    prepare(config);
    return std::string();
  });
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) ::close(lock_);  // releases the lock
}

bool RunDirectory::complete() const {
  return fs::exists(artifacts()) || fs::exists(rejected());
}

void RunDirectory::prepare(const JobConfig& config) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) {
    throw StoreError("cannot make the run directory '" + path_.string() + "'", error.message(),
                     "choose another output or check permissions");
  }
  lock_ = ::open((path_ / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw StoreError("cannot write to the run directory '" + path_.string() + "'", std::strerror(errno),
                     "choose another output or check permissions");
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    throw StoreError("the run directory '" + path_.string() + "' is in use", "another job holds its lock",
                     "wait for it, or choose another output");
  }
  const fs::path resolved = path_ / "config.resolved.yaml";
  if (fs::exists(resolved) && fingerprint(load_job_config(resolved, {})) != fingerprint(config)) {
    throw ConfigError("the run directory '" + path_.string() + "' holds a run of another configuration",
                      "settings that change results differ from its config.resolved.yaml",
                      "choose another output, or remove the folder to start anew");
  }
  write_file_atomically(resolved, to_yaml(config));
  fs::remove_all(staged());
}

}  // namespace tercet::job
