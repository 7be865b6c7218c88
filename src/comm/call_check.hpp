// Do all ranks make the same collective call? Each call is announced on a communicator of its own before it is made,
// so a rank that went another way is named at once instead of being waited for, or worse, paired with the wrong call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "comm/mpi_support.hpp"

namespace tercet::comm {

#ifdef NDEBUG
inline constexpr bool kCheckCalls = false;
#else
inline constexpr bool kCheckCalls = true;
#endif

class CallCheck {
 public:
  explicit CallCheck(MPI_Comm parent) : comm_(OwnedComm::duplicate(parent)) {}

  // Collective. `detail` is the reduction or the root. Throws CommError on every rank when two announcements differ,
  // with who announced what.
  void announce(std::string_view name, std::size_t bytes, std::string_view detail = "");

 private:
  std::mutex mutex_;
  OwnedComm comm_;
  std::int64_t sequence_ = 0;
};

}  // namespace tercet::comm
