#include "run_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"

namespace tercet::job {
namespace fs = std::filesystem;

RunDirectory::RunDirectory(Communicator& comm, const JobConfig& config)
    : comm_(comm), path_(config.output), here_(path_) {
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
  return on_root(comm_, [&] { return fs::exists(artifacts()) || fs::exists(rejected()) ? "yes" : "no"; }) == "yes";
}

void RunDirectory::check_inputs(const Traits& inputs) {
  fingerprint_ = on_root(comm_, [&] {
    for (const std::string& change : identity_->check("inputs", inputs))
      log::warn("going on although changed: " + change);
    return identity_->fingerprint();
  });
}

void RunDirectory::take_lock() {
  lock_ = ::open((path_ / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw StoreError("cannot write to the run directory '" + path_.string() + "'", std::strerror(errno),
                     "choose another output or check permissions");
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    throw StoreError("the run directory '" + path_.string() + "' is in use", "another job holds its lock",
                     "wait for it, or choose another output");
  }
}

void RunDirectory::prepare(const JobConfig& config) {
  for (const std::string& key : config.allowed_changes) {
    if (!may_change_in_a_run(key)) {
      throw ConfigError("--allow-changed " + key + " is not possible", "a run with another value is another run",
                        "docs/config.md marks the keys that may change");
    }
  }
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) {
    throw StoreError("cannot make the run directory '" + path_.string() + "'", error.message(),
                     "choose another output or check permissions");
  }
  take_lock();
  identity_.emplace(path_, config.allowed_changes);
  for (const std::string& change : identity_->check("settings", result_settings(config))) {
    log::warn("going on although changed: " + change);
  }
  fs::remove(stop_request(), error);
  write_file_atomically(path_ / "config.resolved.yaml", to_yaml(config));
}

}  // namespace tercet::job
