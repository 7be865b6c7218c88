// The folder of a run: made, locked against a second job, and checked to belong to this one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "run_identity.hpp"
#include "tercet/comm/communicator.hpp"
#include "tercet/config/job_config.hpp"

namespace tercet::job {

class RunDirectory {
 public:
  // Collective. Makes the folder, takes the lock (rank 0), removes an old request to stop, and writes
  // config.resolved.yaml. Throws ConfigError when the folder holds a run of another configuration (run_identity.hpp),
  // StoreError when it cannot be written or another process holds it.
  RunDirectory(Communicator& comm, const JobConfig& config);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  // Collective. The same check for the hashes of the inputs ("model.weights" etc.); call it once they are known.
  // Afterwards fingerprint() names this run's work: checkpoints and finished units of another are not taken up.
  void check_inputs(const Traits& inputs);
  const std::string& fingerprint() const { return fingerprint_; }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path artifacts() const { return path_ / "artifacts"; }
  std::filesystem::path rejected() const { return path_ / "rejected"; }
  std::filesystem::path rounds() const { return path_ / "rounds"; }  // removed when the run is complete
  std::filesystem::path of_round(const std::string& name) const { return rounds() / name; }

  // What a finished round left, until one of them is published.
  std::filesystem::path of_kept(const std::string& name, bool passed) const {
    return of_round(name) / (passed ? "artifacts" : "rejected");
  }

  // Of the round under way. Those of the run folder itself are used until another is entered.
  void enter_round(const std::string& name) { here_ = of_round(name); }
  std::filesystem::path staged() const { return here_ / ".artifacts.tmp"; }
  std::filesystem::path checkpoints() const { return here_ / "checkpoints"; }
  std::filesystem::path polish_checkpoints() const { return here_ / "checkpoints-polish"; }
  std::filesystem::path round_work() const { return here_ / "work"; }

  std::filesystem::path work() const { return path_ / "work"; }  // finished units; removed when the run is complete
  std::filesystem::path stop_request() const { return stop_request_of(path_); }
  static std::filesystem::path stop_request_of(const std::filesystem::path& run) { return run / "stop.request"; }
  bool complete() const;  // Collective. Whether a verdict was published, as rank 0 sees the folder.

 private:
  void prepare(const JobConfig& config);
  void take_lock();
  Communicator& comm_;
  std::filesystem::path path_, here_;
  int lock_ = -1;
  std::optional<RunIdentity> identity_;  // on rank 0
  std::string fingerprint_;
};

}  // namespace tercet::job
