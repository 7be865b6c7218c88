// Finished units of work (an evaluated batch, a calibrated shard, a solved layer), so that a job that was interrupted
// at any point does not compute them again, on the same or another number of ranks.
//
//   <folder>/rank-0003.log   appended by one rank, a record per unit
//   <folder>/merged.log      what earlier attempts left, put together by rank 0 when the log is opened
//
// A record carries its own SHA-256. One that is cut short or damaged ends what is read of its file, and the units are
// computed again. Nothing is fsynced: a lost record costs its unit, never a wrong result. Layout: docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tercet/base/file.hpp"
#include "tercet/comm/communicator.hpp"
#include "tercet/comm/stop_control.hpp"

namespace tercet {

class WorkLog {
 public:
  // Collective. Takes up what is in `folder` (made if need be; shared by all ranks) and was written for the same
  // `identity`; records of another are dropped. One job at a time may use a folder. Throws StoreError.
  WorkLog(Communicator& comm, const std::filesystem::path& folder, const std::string& identity);
  ~WorkLog();
  WorkLog(const WorkLog&) = delete;
  WorkLog& operator=(const WorkLog&) = delete;

  // What earlier attempts left: the same on all ranks, whatever was added since. Not collective.
  std::optional<std::string_view> find(const std::string& key) const;
  std::size_t size() const;

  void add(const std::string& key, std::string_view payload);  // of this rank; throws StoreError; not collective

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All whole records in a folder, whichever rank wrote them: for the rank that puts the outcomes together when every
// unit is done. Throws StoreError when the folder cannot be read.
class WorkRecords {
 public:
  WorkRecords(const std::filesystem::path& folder, const std::string& identity);
  std::optional<std::string_view> find(const std::string& key) const;  // valid while this object lives

 private:
  std::vector<MappedFile> files_;
  std::map<std::string, std::string_view, std::less<>> known_;
};

// Work cut into `count` units that any rank can do, whose outcomes are bytes.
struct UnitWork {
  std::string name;  // prefix of the keys, and what a stop is reported with, e.g. "evaluate/before"
  std::uint64_t count = 0;
  std::function<std::string(std::uint64_t unit)> compute;                  // no collective call inside
  std::function<void(std::uint64_t unit, std::string_view outcome)> take;  // on the rank that holds the unit
  std::function<void(std::uint64_t done, std::uint64_t of)> progress;      // of this rank; may be empty
};

// The rank that gets the `place`-th of the units that are dealt out.
int owner_of_unit(std::uint64_t place, int ranks);

// Collective. Every unit is given to `take` on exactly one rank: those in `log` are read and shared out, the others
// computed, shared out, and added to `log`. After each round of units (one per rank) all ranks look for errors, which
// all throw, and ask `stop`. Both may be null.
void run_units(Communicator& comm, const UnitWork& work, WorkLog* log, StopControl* stop);

// Collective. The same, with the outcomes of all units on all ranks, in order; `work.take` is not used.
std::vector<std::string> run_units_for_all(Communicator& comm, UnitWork work, WorkLog* log, StopControl* stop);

}  // namespace tercet
