// What automatic bits per layer may choose from, what each choice makes the packed file weigh, and what a target asks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage_plan.hpp"
#include "tercet/allocate/frontier.hpp"
#include "tercet/allocate/sensitivity.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/model/decoder.hpp"

namespace tercet::job {

class BitChoices {
 public:
  // Matrices inside the blocks are free unless quantization.skip or a row of quantization.layers names them; embedding
  // and head are when allocation.tables has entries. Each may take every row of allocation.formats that names it; what
  // is not free and on a grid has one format, so that its loss counts, too. Throws ConfigError for rows that match
  // nothing or do not fit, and when nothing is free.
  BitChoices(const JobConfig& config, const Decoder& model);

  const std::vector<FreeLayer>& layers() const { return layers_; }
  // The whole plan, with one format chosen for each layer.
  std::vector<ParameterPlan> storage(const std::vector<std::size_t>& chosen) const;
  // Of the packed file of that plan, as it will be written.
  std::uint64_t packed_bytes(const std::vector<std::size_t>& chosen) const;

  // The frontier of these losses. Its bytes are what each choice adds to the file when it is made alone; padding makes
  // the sum differ from packed_bytes() by some hundred bytes.
  Frontier frontier(const std::vector<std::vector<double>>& losses) const;
  // The least loss whose packed_bytes() are within the budget. The budget must be one that smallest_bytes() meets.
  Choice within(const Frontier& frontier, std::uint64_t budget) const;

  std::uint64_t smallest_bytes() const { return smallest_; }
  std::uint64_t largest_bytes() const { return largest_; }
  // Losses that need no measurement, for a plan: weights x 4^-bits, as rounding errors shrink.
  std::vector<std::vector<double>> assumed_losses() const;

 private:
  void find_formats();
  void find_costs();

  const JobConfig& config_;
  const Decoder& model_;
  std::vector<ParameterPlan> usual_;
  std::vector<FreeLayer> layers_;
  std::uint64_t base_ = 0;                         // of the file with every first format
  std::vector<std::vector<std::uint64_t>> costs_;  // of each format of each layer, above that layer's smallest
  std::uint64_t smallest_ = 0, largest_ = 0;
};

// The most bytes that target.size_mb, ratio or like leave the packed file; nullopt: the target is another.
// `original_bytes`: of the weight files.
std::optional<std::uint64_t> byte_budget(const JobConfig& config, const Decoder& model, std::uint64_t original_bytes);
// Throws ConfigError, with the nearest target that can be met, where no choice fits into the budget, and where the
// original fits into it.
void check_budget(const JobConfig& config, const Decoder& model, const BitChoices& choices,
                  std::uint64_t original_bytes);
std::string target_text(const TargetSection& target);  // "target.size_mb: 1.8"

}  // namespace tercet::job
