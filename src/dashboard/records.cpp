#include "dashboard/records.hpp"

#include <algorithm>

namespace tercet::dashboard {
namespace {

template <class Record>
void append(std::vector<Record>& list, const std::vector<Record>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

}  // namespace

void Records::take(const RunRecord& more) {
  for (std::size_t i = 0; i < more.metrics.size(); ++i) {
    Values& values = series_[more.metrics[i].name];
    values.metrics.push_back(more.metrics[i]);
    values.wall_times.push_back(more.wall_times[i]);
  }
  append(rest_.stages, more.stages);
  append(rest_.attempts, more.attempts);
  if (!more.layers.empty()) rest_.layers = more.layers;
  if (!more.gates.empty()) rest_.gates = more.gates;
  for (const RankRecord& rank : more.ranks) {
    const auto known = std::find_if(rest_.ranks.begin(), rest_.ranks.end(),
                                    [&](const RankRecord& other) { return other.rank == rank.rank; });
    if (known == rest_.ranks.end()) {
      rest_.ranks.push_back(rank);
    } else {
      *known = rank;
    }
  }
  rest_.provenance.update(more.provenance);
}

void Records::clear() {
  series_.clear();
  rest_ = RunRecord();
}

RunRecord Records::ordered() const {
  RunRecord record = rest_;
  for (const auto& [name, values] : series_) {
    append(record.metrics, values.metrics);
    append(record.wall_times, values.wall_times);
  }
  return record;
}

}  // namespace tercet::dashboard
