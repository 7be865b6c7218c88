#include "pretended_world.hpp"

#include <algorithm>
#include <utility>

#include "tercet/eval/evaluate.hpp"
#include "tercet/store/work_log.hpp"

namespace tercet::job {
namespace {

// Sees that ranges follow each other from 0 to the number of items, and adds up what each rank got.
class Tally {
 public:
  Tally(const std::string& what, std::uint64_t items, int ranks)
      : sharing_{what, items}, counts_(static_cast<std::size_t>(ranks), 0) {}

  void add(int rank, ShardRange range) {
    const bool known = rank >= 0 && rank < static_cast<int>(counts_.size());
    exact_ = exact_ && known && range.begin == next_ && range.end >= range.begin;
    next_ = range.end;
    if (known) counts_[static_cast<std::size_t>(rank)] += range.end - range.begin;
  }

  Sharing result() {
    const auto [least, most] = std::minmax_element(counts_.begin(), counts_.end());
    sharing_.least = *least;
    sharing_.most = *most;
    sharing_.idle = static_cast<int>(std::count(counts_.begin(), counts_.end(), 0));
    sharing_.exact = exact_ && next_ == sharing_.items;
    return sharing_;
  }

 private:
  Sharing sharing_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t next_ = 0;
  bool exact_ = true;
};

// Units of one item, dealt out as run_units does.
Sharing deal_in_turn(const std::string& what, std::uint64_t count, int ranks) {
  return deal_units(what, count, ranks,
                    {count,
                     [](std::uint64_t unit) {
                       return ShardRange{unit, unit + 1};
                     },
                     [ranks](std::uint64_t unit) { return owner_of_unit(unit, ranks); }});
}

}  // namespace

Sharing deal_runs(const std::string& what, std::uint64_t items, int ranks,
                  const std::function<ShardRange(int rank)>& run_of) {
  Tally tally(what, items, ranks);
  for (int rank = 0; rank < ranks; ++rank) tally.add(rank, run_of(rank));
  return tally.result();
}

Sharing deal_units(const std::string& what, std::uint64_t items, int ranks, const Units& units) {
  Tally tally(what, items, ranks);
  for (std::uint64_t unit = 0; unit < units.count; ++unit) tally.add(units.owner_of(unit), units.range_of(unit));
  return tally.result();
}

std::vector<Sharing> pretend_world(const WorldItems& items, int ranks) {
  const Units shards{
      items.calibration_shards,
      [&](std::uint64_t shard) { return shard_range(items.calibration_samples, items.calibration_shards, shard); },
      [ranks](std::uint64_t shard) { return owner_of_unit(shard, ranks); }};
  const std::uint64_t measured = batch_count(items.evaluation_windows, items.evaluation_batch);
  const std::uint64_t selection = batch_count(items.selection_windows, items.evaluation_batch);
  std::vector<Sharing> world;
  world.push_back(deal_in_turn("blocks of text to tokenize", items.text_blocks, ranks));
  world.push_back(deal_in_turn("calibration shards", items.calibration_shards, ranks));
  world.push_back(deal_units("calibration sequences", items.calibration_samples, ranks, shards));
  world.push_back(deal_in_turn("layers to find thresholds for", items.calibrated_layers, ranks));
  world.push_back(deal_in_turn("batches of evaluation windows", measured, ranks));
  if (items.sequences_per_step > 0) {
    world.push_back(deal_runs("training sequences of a step", items.sequences_per_step, ranks,
                              [&](int rank) { return shards_of_rank(items.sequences_per_step, rank, ranks); }));
    world.push_back(deal_in_turn("batches of selection windows", selection, ranks));
  }
  return world;
}

}  // namespace tercet::job
