// The smallest choice of a frontier whose loss, when measured, stays within a limit. The frontier only predicts:
// measured is about a factor times predicted, and each measurement corrects the factor.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tercet/allocate/frontier.hpp"

namespace tercet {

struct Trial {
  Choice choice;
  double predicted = 0;  // factor of that moment x the choice's loss
  double measured = 0;
};

class LossSearch {
 public:
  // `factor` is measured loss over the frontier's loss, as far as it is known: without it the first trial lies in the
  // middle of the sizes. `frontier` must outlive this.
  LossSearch(const Frontier& frontier, double limit, std::optional<double> factor, int most_trials);

  // What to measure next; nullopt: the search is over: within 3 % below the limit, nothing new to try, or no trial
  // left. While nothing has met the limit, the last trial is the finest choice.
  std::optional<Choice> next() const;
  void measured(const Choice& choice, double value);

  const std::vector<Trial>& trials() const { return trials_; }
  const Trial* best() const;  // the smallest that met the limit; null: none did

 private:
  bool tried(const Choice& choice) const;
  double next_limit() const;  // of the frontier's loss

  const Frontier& frontier_;
  double limit_;
  std::optional<double> factor_;
  int most_trials_;
  std::vector<Trial> trials_;
};

}  // namespace tercet
