#include "comm/mailbox.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace tercet::comm {
namespace {

constexpr int kTag = 1;

void pause() {
  std::this_thread::sleep_for(std::chrono::microseconds(500));
}

}  // namespace

Mailbox::Mailbox(MPI_Comm parent, std::size_t message_bytes)
    : comm_(OwnedComm::duplicate(parent)),
      message_bytes_(message_bytes),
      buffers_(static_cast<std::size_t>(comm_.size())),
      requests_(buffers_.size(), MPI_REQUEST_NULL) {}

void Mailbox::send(int to, const std::string& message) {
  const auto slot = static_cast<std::size_t>(to);
  int done = 0;
  if (MPI_Test(&requests_[slot], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || done == 0) return;
  buffers_[slot] = message;
  MPI_Issend(buffers_[slot].data(), static_cast<int>(message_bytes_), MPI_BYTE, to, kTag, comm_.get(),
             &requests_[slot]);
}

std::optional<std::string> Mailbox::receive() {
  int there = 0;
  MPI_Status status;
  if (MPI_Iprobe(MPI_ANY_SOURCE, kTag, comm_.get(), &there, &status) != MPI_SUCCESS || there == 0) return std::nullopt;
  std::string message(message_bytes_, '\0');
  const int code = MPI_Recv(message.data(), static_cast<int>(message_bytes_), MPI_BYTE, status.MPI_SOURCE, kTag,
                            comm_.get(), MPI_STATUS_IGNORE);
  return code == MPI_SUCCESS ? std::optional(std::move(message)) : std::nullopt;
}

bool Mailbox::all_sent() {
  int done = 0;
  return MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS ||
         done != 0;
}

void Mailbox::drop_arrivals() {
  while (receive()) {
  }
}

void Mailbox::close() {
  while (!all_sent()) {
    drop_arrivals();
    pause();
  }
  MPI_Request barrier = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(comm_.get(), &barrier), "the end of the watchdog", comm_.get());
  int done = 0;
  while (done == 0) {
    drop_arrivals();
    check_mpi(MPI_Test(&barrier, &done, MPI_STATUS_IGNORE), "the end of the watchdog", comm_.get());
    if (done == 0) pause();
  }
}

}  // namespace tercet::comm
