// The folder of a run: made, locked against a second job, and checked to belong to this one.
#pragma once

#include <filesystem>
#include <string>

#include "tercet/comm/communicator.hpp"
#include "tercet/config/job_config.hpp"

namespace tercet::job {

class RunDirectory {
 public:
  // Collective. Makes the folder, takes the lock (rank 0), and writes config.resolved.yaml. Throws ConfigError when the
  // folder holds a run of another configuration, StoreError when it cannot be written or another process holds it.
  RunDirectory(Communicator& comm, const JobConfig& config);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path staged() const { return path_ / ".artifacts.tmp"; }
  std::filesystem::path artifacts() const { return path_ / "artifacts"; }
  std::filesystem::path rejected() const { return path_ / "rejected"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  bool complete() const;  // a verdict was published

 private:
  void prepare(const JobConfig& config);
  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace tercet::job
