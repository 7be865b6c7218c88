#include "comm/call_check.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tercet/base/error.hpp"

namespace tercet::comm {
namespace {

struct Announcement {  // travels as bytes, so every byte is set
  std::int64_t sequence;
  std::uint64_t bytes;
  char name[32];
  char detail[16];
};

template <std::size_t N>
void copy_text(std::string_view text, char (&target)[N]) {
  std::memset(target, 0, N);
  std::memcpy(target, text.data(), std::min(text.size(), N - 1));
}

std::string describe(const Announcement& call) {
  std::string text = call.name;
  if (call.detail[0] != '\0') text += std::string(" (") + call.detail + ")";
  if (call.bytes > 0) text += " of " + std::to_string(call.bytes) + " bytes";
  return text + " as its call " + std::to_string(call.sequence);
}

}  // namespace

void CallCheck::announce(std::string_view name, std::size_t bytes, std::string_view detail) {
  const std::lock_guard lock(mutex_);
  Announcement mine{};
  mine.sequence = ++sequence_;
  mine.bytes = bytes;
  copy_text(name, mine.name);
  copy_text(detail, mine.detail);
  std::vector<Announcement> all(static_cast<std::size_t>(comm_.size()));
  constexpr int kBytes = static_cast<int>(sizeof(Announcement));
  check_mpi(MPI_Allgather(&mine, kBytes, MPI_BYTE, all.data(), kBytes, MPI_BYTE, comm_.get()), "call check",
            comm_.get());
  const auto differs = [&](const Announcement& other) { return std::memcmp(&other, &all[0], sizeof other) != 0; };
  const auto odd = std::find_if(all.begin(), all.end(), differs);
  if (odd == all.end()) return;
  throw CommError("ranks make different collective calls: rank 0 makes " + describe(all[0]) + ", rank " +
                      std::to_string(odd - all.begin()) + " makes " + describe(*odd),
                  "", "look for a collective call behind a condition that differs between ranks");
}

}  // namespace tercet::comm
