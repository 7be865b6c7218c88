// Thin layer over MPI: handles that close themselves, errors as CommError, calls cut into chunks.
//
// MPI counts elements with an int, so one call moves at most 2^31 - 1 of them. The chunk size is a setting for tests.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "tercet/comm/communicator.hpp"

namespace tercet::comm {

// Throws CommError "OPERATION failed on rank R of N (MPI's words); hint" unless `code` is MPI_SUCCESS.
void check_mpi(int code, const std::string& operation, MPI_Comm comm, std::size_t bytes = 0);

bool mpi_is_usable();  // initialised and not yet finalised

// A communicator of our own: a duplicate that returns errors to us, freed when this object goes.
class OwnedComm {
 public:
  static OwnedComm duplicate(MPI_Comm parent);
  static OwnedComm of_this_node(MPI_Comm parent);  // the ranks that share this machine's memory
  OwnedComm(OwnedComm&& other) noexcept;
  OwnedComm& operator=(OwnedComm&&) = delete;
  ~OwnedComm();
  MPI_Comm get() const { return comm_; }
  int rank() const;
  int size() const;

 private:
  explicit OwnedComm(MPI_Comm comm);
  MPI_Comm comm_;
};

MPI_Datatype mpi_type(at::ScalarType type);  // float32, float64, int64
MPI_Op mpi_op(Reduce op);
const char* name_of(Reduce op);

// `count` elements of `type`, each `element_bytes` long, in place. At most `chunk` elements a call.
struct Buffer {
  void* data;
  std::size_t count;
  MPI_Datatype type;
  std::size_t element_bytes;
  std::size_t bytes() const { return count * element_bytes; }
};
inline constexpr std::size_t kDefaultChunk = std::size_t{1} << 28;

void all_reduce_chunked(const Buffer& buffer, Reduce op, MPI_Comm comm, std::size_t chunk);
void broadcast_chunked(const Buffer& buffer, int root, MPI_Comm comm, std::size_t chunk);

}  // namespace tercet::comm
