#include "tercet/allocate/loss_search.hpp"

#include <algorithm>
#include <cmath>

namespace tercet {
namespace {

constexpr double kNearEnough = 0.97;         // of the limit
constexpr double kLeastMeasured = 1 / 16.0;  // of the limit, that is believed: less would throw the next trial too far

}  // namespace

LossSearch::LossSearch(const Frontier& frontier, double limit, std::optional<double> factor, int most_trials)
    : frontier_(frontier), limit_(limit), factor_(factor), most_trials_(most_trials) {}

const Trial* LossSearch::best() const {
  const Trial* best = nullptr;
  for (const Trial& trial : trials_) {
    const bool smaller = best == nullptr || trial.choice.bytes < best->choice.bytes;
    if (trial.measured <= limit_ && smaller) best = &trial;
  }
  return best;
}

bool LossSearch::tried(const Choice& choice) const {
  return std::any_of(trials_.begin(), trials_.end(),
                     [&](const Trial& trial) { return trial.choice.candidates == choice.candidates; });
}

// Where the corrected prediction leaves the bracket of what met the limit and what missed it, their geometric mean.
double LossSearch::next_limit() const {
  double met = 0, missed = 0;  // 0: unknown
  for (const Trial& trial : trials_) {
    const double loss = trial.choice.loss;
    if (trial.measured <= limit_) met = std::max(met, loss);
    if (trial.measured > limit_ && loss > 0) missed = missed == 0 ? loss : std::min(missed, loss);
  }
  const double wanted = limit_ / *factor_;
  const bool outside = wanted <= met || wanted >= missed;
  return met > 0 && missed > met && outside ? std::sqrt(met * missed) : wanted;
}

std::optional<Choice> LossSearch::next() const {
  const auto left = most_trials_ - static_cast<int>(trials_.size());
  const Trial* good = best();
  if (left <= 0 || (good != nullptr && good->measured >= kNearEnough * limit_)) return std::nullopt;
  std::optional<Choice> choice;
  if (!factor_) {
    const std::uint64_t least = frontier_.smallest().bytes, most = frontier_.finest().bytes;
    choice = frontier_.least_loss(least + (most - least) / 2);
  } else if (left > 1 || good != nullptr) {
    choice = frontier_.fewest_bytes(next_limit());
  }
  if (!choice) choice = frontier_.finest();
  return tried(*choice) ? std::nullopt : choice;
}

void LossSearch::measured(const Choice& choice, double value) {
  trials_.push_back({choice, factor_.value_or(0) * choice.loss, value});
  if (choice.loss > 0) factor_ = std::max(value, kLeastMeasured * limit_) / choice.loss;
}

}  // namespace tercet
