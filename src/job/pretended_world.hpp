// The shares of every rank of a world, made by the functions that the job itself deals work out with, and checked: each
// item on exactly one rank, and how even the shares are. Needs no rank to be there.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tercet/config/job_config.hpp"
#include "tercet/text/dataset.hpp"
#include "tercet/train/student.hpp"

namespace tercet::job {

struct Sharing {
  std::string what;                   // "training sequences of a step"
  std::uint64_t items = 0;            // to be dealt out
  std::uint64_t least = 0, most = 0;  // on one rank
  int idle = 0;                       // ranks without any
  bool exact = false;                 // every item on exactly one rank
};

// Contiguous runs, one for each rank, in the order of ranks.
Sharing deal_runs(const std::string& what, std::uint64_t items, int ranks,
                  const std::function<ShardRange(int rank)>& run_of);
// Units that go to a rank as a whole; unit u holds the items range_of(u), and units follow each other.
struct Units {
  std::uint64_t count = 0;
  std::function<ShardRange(std::uint64_t unit)> range_of;
  std::function<int(std::uint64_t unit)> owner_of;
};
Sharing deal_units(const std::string& what, std::uint64_t items, int ranks, const Units& units);

// What is there to deal out.
struct WorldItems {
  std::uint64_t calibration_samples = 0, calibration_shards = 0;
  std::uint64_t sequences_per_step = 0;  // 0: no training
  std::uint64_t evaluation_windows = 0, selection_windows = 0, evaluation_batch = 1;
  std::uint64_t calibrated_layers = 0;  // whose thresholds are searched for
  std::uint64_t text_blocks = 0;        // about; tokenized by one rank each
};

std::vector<Sharing> pretend_world(const WorldItems& items, int ranks);

}  // namespace tercet::job
