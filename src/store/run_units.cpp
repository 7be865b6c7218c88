#include <algorithm>
#include <vector>

#include "tercet/store/unit_bytes.hpp"
#include "tercet/store/work_log.hpp"

namespace tercet {
namespace {

std::string key_of(const UnitWork& work, std::uint64_t unit) {
  return work.name + "/" + std::to_string(unit);
}

std::vector<std::uint64_t> dealt(const std::vector<std::uint64_t>& units, const Communicator& comm) {
  std::vector<std::uint64_t> mine;
  for (std::size_t place = 0; place < units.size(); ++place) {
    if (owner_of_unit(place, comm.size()) == comm.rank()) mine.push_back(units[place]);
  }
  return mine;
}

}  // namespace

// In turn, so that each rank has some early and some late ones, and all have as many in every round.
int owner_of_unit(std::uint64_t place, int ranks) {
  return static_cast<int>(place % static_cast<std::uint64_t>(ranks));
}

void run_units(Communicator& comm, const UnitWork& work, WorkLog* log, StopControl* stop) {
  std::vector<std::uint64_t> known, missing;  // the same on all ranks
  for (std::uint64_t unit = 0; unit < work.count; ++unit) {
    (log != nullptr && log->find(key_of(work, unit)) ? known : missing).push_back(unit);
  }
  const std::vector<std::uint64_t> found = dealt(known, comm);
  const std::vector<std::uint64_t> mine = dealt(missing, comm);
  on_every_rank(comm, [&] {
    for (const std::uint64_t unit : found) work.take(unit, *log->find(key_of(work, unit)));
  });
  const std::size_t rounds =
      (missing.size() + static_cast<std::size_t>(comm.size()) - 1) / static_cast<std::size_t>(comm.size());
  for (std::size_t round = 0; round < rounds; ++round) {
    on_every_rank(comm, [&] {
      if (round >= mine.size()) return;
      const std::string outcome = work.compute(mine[round]);
      if (log != nullptr) log->add(key_of(work, mine[round]), outcome);
      work.take(mine[round], outcome);
      if (work.progress) work.progress(found.size() + round + 1, found.size() + mine.size());
    });
    if (stop != nullptr && stop->due()) stop->leave(work.name);
  }
}

std::vector<std::string> run_units_for_all(Communicator& comm, UnitWork work, WorkLog* log, StopControl* stop) {
  ByteWriter mine;
  work.take = [&](std::uint64_t unit, std::string_view outcome) {
    mine.add(unit);
    mine.add(static_cast<std::uint64_t>(outcome.size()));
    mine.add(outcome);
  };
  run_units(comm, work, log, stop);
  std::vector<std::string> outcomes(work.count);
  for (const std::string& part : comm.all_gather(mine.take())) {
    for (ByteReader bytes(part); !bytes.empty();) {
      const auto unit = bytes.number<std::uint64_t>();
      outcomes.at(unit) = bytes.text(bytes.number<std::uint64_t>());
    }
  }
  return outcomes;
}

}  // namespace tercet
