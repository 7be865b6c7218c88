#include "comm/mpi_support.hpp"

#include <algorithm>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/text.hpp"

namespace tercet::comm {
namespace {

template <typename Call>  // Call(pointer to the chunk, its number of elements)
void for_each_chunk(const Buffer& buffer, std::size_t chunk, Call call) {
  auto* const bytes = static_cast<std::byte*>(buffer.data);
  for (std::size_t begin = 0; begin < buffer.count; begin += chunk) {
    heartbeat::beat();
    const std::size_t count = std::min(chunk, buffer.count - begin);
    call(bytes + begin * buffer.element_bytes, static_cast<int>(count));
  }
}

}  // namespace

void check_mpi(int code, const std::string& operation, MPI_Comm comm, std::size_t bytes) {
  if (code == MPI_SUCCESS) return;
  char words[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, words, &length);
  int rank = -1;
  int size = -1;
  if (comm != MPI_COMM_NULL) {
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
  }
  std::string problem = operation;
  if (bytes > 0) problem += " of " + format_bytes(bytes);
  problem += " failed on rank " + std::to_string(rank) + " of " + std::to_string(size);
  throw CommError(problem, std::string(words, static_cast<std::size_t>(length)),
                  "another rank may have ended: read the log files of the others first");
}

bool mpi_is_usable() {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized != 0 && finalized == 0;
}

OwnedComm::OwnedComm(MPI_Comm comm) : comm_(comm) {
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
}

OwnedComm OwnedComm::duplicate(MPI_Comm parent) {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(parent, &comm), "MPI_Comm_dup", parent);
  return OwnedComm(comm);
}

OwnedComm OwnedComm::of_this_node(MPI_Comm parent) {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(parent, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &comm), "MPI_Comm_split_type", parent);
  return OwnedComm(comm);
}

OwnedComm::OwnedComm(OwnedComm&& other) noexcept : comm_(std::exchange(other.comm_, MPI_COMM_NULL)) {}

OwnedComm::~OwnedComm() {
  if (comm_ != MPI_COMM_NULL && mpi_is_usable()) MPI_Comm_free(&comm_);
}

int OwnedComm::rank() const {
  int rank = 0;
  check_mpi(MPI_Comm_rank(comm_, &rank), "MPI_Comm_rank", comm_);
  return rank;
}

int OwnedComm::size() const {
  int size = 0;
  check_mpi(MPI_Comm_size(comm_, &size), "MPI_Comm_size", comm_);
  return size;
}

MPI_Datatype mpi_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kLong:
      return MPI_INT64_T;
    default:
      throw CommError(std::string("MPI has no type for ") + c10::toString(type));
  }
}

MPI_Op mpi_op(Reduce op) {
  switch (op) {
    case Reduce::kSum:
      return MPI_SUM;
    case Reduce::kMax:
      return MPI_MAX;
    case Reduce::kMin:
      return MPI_MIN;
  }
  return MPI_OP_NULL;
}

const char* name_of(Reduce op) {
  switch (op) {
    case Reduce::kSum:
      return "sum";
    case Reduce::kMax:
      return "max";
    case Reduce::kMin:
      return "min";
  }
  return "?";
}

void all_reduce_chunked(const Buffer& buffer, Reduce op, MPI_Comm comm, std::size_t chunk) {
  for_each_chunk(buffer, chunk, [&](void* data, int count) {
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, data, count, buffer.type, mpi_op(op), comm),
              std::string("all_reduce (") + name_of(op) + ")", comm, buffer.bytes());
  });
}

void broadcast_chunked(const Buffer& buffer, int root, MPI_Comm comm, std::size_t chunk) {
  for_each_chunk(buffer, chunk, [&](void* data, int count) {
    check_mpi(MPI_Bcast(data, count, buffer.type, root, comm), "broadcast from rank " + std::to_string(root), comm,
              buffer.bytes());
  });
}

}  // namespace tercet::comm
