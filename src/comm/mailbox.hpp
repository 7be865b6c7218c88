// Small messages of one length between the watchdogs of all ranks, on a communicator of their own. No call waits.
//
// Sends are synchronous in MPI's sense (done when the other side has taken the message): a rank that is stopped costs
// one pending message, not memory that grows, and at the end it is known that nothing is under way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/mpi_support.hpp"

namespace tercet::comm {

class Mailbox {
 public:
  Mailbox(MPI_Comm parent, std::size_t message_bytes);  // collective

  // Left out while the last message to that rank is still under way, and when MPI refuses: silence is what counts.
  void send(int to, const std::string& message);
  std::optional<std::string> receive();  // nullopt: nothing is there

  // Collective, and it waits: takes and drops what is under way, until no rank has anything left.
  void close();

 private:
  bool all_sent();
  void drop_arrivals();

  OwnedComm comm_;
  std::size_t message_bytes_;
  std::vector<std::string> buffers_;  // one for each rank, alive while the request is
  std::vector<MPI_Request> requests_;
};

}  // namespace tercet::comm
