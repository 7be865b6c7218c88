#include "comm/mpi_communicator.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "comm/tensor_check.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/log/log.hpp"

namespace tercet::comm {

using heartbeat::Waiting;

namespace {

Buffer buffer_of(const at::Tensor& tensor) {
  return {tensor.mutable_data_ptr(), static_cast<std::size_t>(tensor.numel()), mpi_type(tensor.scalar_type()),
          static_cast<std::size_t>(tensor.element_size())};
}

// Progress is made only inside MPI_Test, so the first looks come quickly and later ones seldom.
void wait_asleep(MPI_Request request, MPI_Comm comm) {
  using std::chrono::microseconds;
  for (microseconds pause{20};; pause = std::min(pause * 2, microseconds{5000})) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "idle_barrier", comm);
    if (done != 0) return;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm parent, const MpiSettings& settings)
    : settings_(settings),
      foreground_(OwnedComm::duplicate(parent)),
      background_(std::make_shared<OwnedComm>(OwnedComm::duplicate(parent))),
      rank_(foreground_.rank()),
      size_(foreground_.size()) {
  if (settings_.check_calls) check_.emplace(parent);
}

void MpiCommunicator::announce(const char* name, std::size_t bytes, const std::string& detail) {
  if (check_) check_->announce(name, bytes, detail);
}

void MpiCommunicator::all_reduce(std::span<double> values, Reduce op) {
  const Waiting waiting("all_reduce", values.size_bytes());
  announce("all_reduce", values.size_bytes(), std::string("float64 ") + name_of(op));
  all_reduce_chunked({values.data(), values.size(), MPI_DOUBLE, sizeof(double)}, op, handle(), settings_.chunk);
}

void MpiCommunicator::all_reduce(std::span<std::int64_t> values, Reduce op) {
  const Waiting waiting("all_reduce", values.size_bytes());
  announce("all_reduce", values.size_bytes(), std::string("int64 ") + name_of(op));
  all_reduce_chunked({values.data(), values.size(), MPI_INT64_T, sizeof(std::int64_t)}, op, handle(), settings_.chunk);
}

void MpiCommunicator::broadcast(std::span<std::byte> bytes, int root) {
  check_root("broadcast", root, *this);
  const Waiting waiting("broadcast", bytes.size());
  announce("broadcast", bytes.size(), "from " + std::to_string(root));
  broadcast_chunked({bytes.data(), bytes.size(), MPI_BYTE, 1}, root, handle(), settings_.chunk);
}

std::vector<std::string> MpiCommunicator::all_gather(std::string_view mine) {
  const Waiting waiting("all_gather");
  announce("all_gather", 0);
  const auto ranks = static_cast<std::size_t>(size_);
  std::vector<std::int64_t> lengths(ranks);
  const auto length = static_cast<std::int64_t>(mine.size());
  check_mpi(MPI_Allgather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, handle()), "all_gather", handle());

  std::vector<std::string> all(ranks);
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  if (static_cast<std::size_t>(total) > settings_.chunk) {  // more than one call can carry: each rank in its turn
    for (std::size_t r = 0; r < ranks; ++r) {
      all[r] =
          static_cast<int>(r) == rank_ ? std::string(mine) : std::string(static_cast<std::size_t>(lengths[r]), '\0');
      broadcast_chunked({all[r].data(), all[r].size(), MPI_BYTE, 1}, static_cast<int>(r), handle(), settings_.chunk);
    }
    return all;
  }
  const std::vector<int> counts(lengths.begin(), lengths.end());
  std::vector<int> offsets(ranks, 0);
  std::partial_sum(counts.begin(), counts.end() - 1, offsets.begin() + 1);
  std::string joined(static_cast<std::size_t>(total), '\0');
  check_mpi(MPI_Allgatherv(mine.data(), counts[static_cast<std::size_t>(rank_)], MPI_BYTE, joined.data(), counts.data(),
                           offsets.data(), MPI_BYTE, handle()),
            "all_gather", handle(), static_cast<std::size_t>(total));
  for (std::size_t r = 0; r < ranks; ++r) {
    all[r] = joined.substr(static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(counts[r]));
  }
  return all;
}

void MpiCommunicator::barrier() {
  const Waiting waiting("barrier");
  announce("barrier", 0);
  check_mpi(MPI_Barrier(handle()), "barrier", handle());
}

// No announcement: the check would wait awake for the very rank that this call waits for asleep.
void MpiCommunicator::idle_barrier() {
  const Waiting waiting("idle_barrier");
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(handle(), &request), "idle_barrier", handle());
  wait_asleep(request, handle());
}

void MpiCommunicator::all_reduce(at::Tensor tensor, Reduce op) {
  check_host_tensor("all_reduce", tensor, *this);
  const Waiting waiting("all_reduce", tensor.nbytes());
  announce("all_reduce", tensor.nbytes(), c10::toString(tensor.scalar_type()) + std::string(" ") + name_of(op));
  all_reduce_chunked(buffer_of(tensor), op, handle(), settings_.chunk);
}

// A broadcast only moves bytes, so any type will do.
void MpiCommunicator::broadcast(at::Tensor tensor, int root) {
  check_root("broadcast", root, *this);
  check_host("broadcast", tensor, *this);
  const Waiting waiting("broadcast", tensor.nbytes());
  announce("broadcast", tensor.nbytes(), "from " + std::to_string(root));
  broadcast_chunked({tensor.mutable_data_ptr(), tensor.nbytes(), MPI_BYTE, 1}, root, handle(), settings_.chunk);
}

std::unique_ptr<Work> MpiCommunicator::start_all_reduce(at::Tensor tensor, Reduce op) {
  check_host_tensor("start_all_reduce", tensor, *this);
  heartbeat::beat();
  announce("start_all_reduce", tensor.nbytes(), c10::toString(tensor.scalar_type()) + std::string(" ") + name_of(op));
  if (!thread_) thread_.emplace();
  return thread_->submit([tensor = std::move(tensor), op, comm = background_, chunk = settings_.chunk] {
    all_reduce_chunked(buffer_of(tensor), op, comm->get(), chunk);
  });
}

void MpiCommunicator::abort(int exit_code) {
  log::close();
  if (mpi_is_usable()) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace tercet::comm
