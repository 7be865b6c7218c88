// Host memory by MPI, on communicators of our own: one for the caller's thread, one for the communication thread.
#pragma once

#include <memory>
#include <optional>

#include "comm/call_check.hpp"
#include "comm/comm_thread.hpp"
#include "comm/mpi_support.hpp"
#include "tercet/comm/communicator.hpp"

namespace tercet::comm {

struct MpiSettings {
  std::size_t chunk = kDefaultChunk;  // elements of one MPI call
  bool check_calls = kCheckCalls;
};

class MpiCommunicator : public Communicator {
 public:
  // Collective over `parent`.
  explicit MpiCommunicator(MPI_Comm parent, const MpiSettings& settings = {});

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string backend() const override { return "mpi"; }
  MPI_Comm handle() const { return foreground_.get(); }

  void all_reduce(std::span<double> values, Reduce op) override;
  void all_reduce(std::span<std::int64_t> values, Reduce op) override;
  void broadcast(std::span<std::byte> bytes, int root) override;
  std::vector<std::string> all_gather(std::string_view mine) override;
  void barrier() override;
  void idle_barrier() override;
  void all_reduce(at::Tensor tensor, Reduce op) override;
  void broadcast(at::Tensor tensor, int root) override;
  std::unique_ptr<Work> start_all_reduce(at::Tensor tensor, Reduce op) override;
  [[noreturn]] void abort(int exit_code) override;

  // Collective, for a communicator built upon this one: the debug build's check of a call made elsewhere.
  void announce(const char* name, std::size_t bytes, const std::string& detail = "");

 private:
  MpiSettings settings_;
  OwnedComm foreground_;
  std::shared_ptr<OwnedComm> background_;  // also the thread's, which may be left behind
  std::optional<CallCheck> check_;
  int rank_;
  int size_;
  std::optional<CommThread> thread_;  // started by the first reduction; stopped before the communicators go
};

}  // namespace tercet::comm
