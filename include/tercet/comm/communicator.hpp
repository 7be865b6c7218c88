// Communication between the ranks of a job. Every member function marked "collective" must be called by all ranks, in
// the same order. The debug build cross-checks name, sequence number and size of each such call.
//
// Host data always travels by MPI (or not at all with one rank); tensors travel by MPI when they are on the host and
// by NCCL when they are on a device. A device pointer never reaches MPI.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tercet {

enum class Reduce { kSum, kMax, kMin };

// A collective under way. wait() returns when the tensor holds the result (on a device: when the current stream may
// use it). Throws CommError on failure or timeout.
class Work {
 public:
  virtual ~Work() = default;
  virtual void wait() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string backend() const = 0;  // "self", "mpi", "nccl"
  bool is_root() const { return rank() == 0; }

  // Collective, on host memory. Results are the same on all ranks.
  virtual void all_reduce(std::span<double> values, Reduce op) = 0;
  virtual void all_reduce(std::span<std::int64_t> values, Reduce op) = 0;
  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;
  virtual std::vector<std::string> all_gather(std::string_view mine) = 0;  // one entry per rank, any lengths
  virtual void barrier() = 0;
  // Like barrier(), but a waiting rank sleeps instead of burning its core: for waits behind long work of another rank.
  virtual void idle_barrier() { barrier(); }

  // Collective, in place, on contiguous tensors of one dtype and shape. float32, float64, int64, (bf16 by NCCL only).
  virtual void all_reduce(at::Tensor tensor, Reduce op) = 0;
  virtual void broadcast(at::Tensor tensor, int root) = 0;
  // Starts a reduction that proceeds while the caller computes; calls complete in the order they were made.
  virtual std::unique_ptr<Work> start_all_reduce(at::Tensor tensor, Reduce op) = 0;

  // Ends the whole job at once from any thread (MPI_Abort after ncclCommAbort). Never returns.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

// The communicator of a job with one rank. Every operation is the identity, on any device.
std::unique_ptr<Communicator> make_self_communicator();

// Collective. The same ranks for another thread: host data by MPI alone, its collective calls in an order of their own.
// It may be used while `comm` is in use elsewhere.
std::unique_ptr<Communicator> duplicate(Communicator& comm);

// Collective conveniences, built on the above.
std::string broadcast_string(Communicator& comm, std::string text, int root = 0);
std::int64_t all_reduce_value(Communicator& comm, std::int64_t value, Reduce op);
double all_reduce_value(Communicator& comm, double value, Reduce op);

// Collective. Runs `action` (which makes no collective call) on every rank; if it threw anywhere, all ranks throw the
// error of the lowest such rank, with the same class, text and exit code. An exception that is no tercet::Error arrives
// as an Error with exit code 70 that names the rank.
void on_every_rank(Communicator& comm, const std::function<void()>& action);

// Collective. Runs `action` on rank 0 alone while the others wait without a timeout, gives its result to all, and
// throws its error on all.
std::string on_root(Communicator& comm, const std::function<std::string()>& action);

}  // namespace tercet
