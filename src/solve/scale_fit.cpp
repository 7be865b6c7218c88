#include "solve/scale_fit.hpp"

#include <c10/util/Half.h>

#include <numeric>

#include "tercet/quant/number_format.hpp"

namespace tercet::solve {
namespace {

constexpr float kSmallestScale = 6.2e-5f;  // above fp16's smallest normal number
constexpr float kLargestHalf = 65504.0f;
constexpr double kSmallestFactor = 0.35, kFactorStep = 0.025;
constexpr int kFactors = 27;  // 0.35 to 1
constexpr int kRefits = 4;

double fit_trits(const std::vector<double>& weights, const std::vector<double>& importance) {
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return std::fabs(weights[a]) > std::fabs(weights[b]); });
  double best_scale = 0, best_gain = 0, magnitude = 0, total = 0;
  for (const std::size_t j : order) {
    magnitude += importance[j] * std::fabs(weights[j]);
    total += importance[j];
    const double gain = total > 0 ? magnitude * magnitude / total : 0;
    if (gain > best_gain) {
      best_gain = gain;
      best_scale = magnitude / total;
    }
  }
  return best_scale;
}

class BlockFit {
 public:
  BlockFit(const std::vector<double>& weights, const std::vector<double>& importance, const Grid& grid)
      : weights_(weights), importance_(importance), grid_(grid) {
    for (const double weight : weights) {
      low_ = std::min(low_, weight);
      high_ = std::max(high_, weight);
    }
  }

  BlockScale search() {
    const double reach =
        grid_.mirrors() ? (high_ >= -low_ ? high_ : low_) / grid_.lowest : std::max(high_, -low_) / grid_.highest;
    const double mirrored = -grid_.lowest / grid_.highest;
    for (int i = kFactors - 1; i >= 0; --i) {
      const double factor = kSmallestFactor + i * kFactorStep;
      if (!grid_.symmetric) {
        consider(factor * (high_ - low_) / (grid_.highest - grid_.lowest), factor * low_);
      } else {
        consider(factor * reach, 0);
        if (grid_.mirrors()) consider(-factor * mirrored * reach, 0);
      }
    }
    while (refits_ < kRefits && refit()) ++refits_;
    return best_;
  }

 private:
  // Without symmetry `low` is the value of the lowest level, before zero points are whole.
  bool consider(double scale, double low) {
    BlockScale block{as_stored_scale(scale, grid_), 0};
    if (!grid_.symmetric) {
      const double zero = std::nearbyint(grid_.lowest - low / block.scale);
      block.zero = std::min(std::max(zero, grid_.lowest), grid_.highest);
    }
    double error = 0;
    for (std::size_t j = 0; j < weights_.size(); ++j) {
      const double lost = weights_[j] - block.scale * nearest_multiple(weights_[j], block, grid_);
      error += importance_[j] * lost * lost;
    }
    if (!(error < least_)) return false;
    least_ = error;
    best_ = block;
    return true;
  }

  // Least squares of w ~ s q, or of w ~ s q + c with a zero point, for the levels q that the weights have now.
  bool refit() {
    double n = 0, q = 0, w = 0, qq = 0, qw = 0;
    for (std::size_t j = 0; j < weights_.size(); ++j) {
      const double d = importance_[j], level = nearest_multiple(weights_[j], best_, grid_) + best_.zero;
      n += d;
      q += d * level;
      w += d * weights_[j];
      qq += d * level * level;
      qw += d * level * weights_[j];
    }
    if (grid_.symmetric) return qq > 0 && consider(qw / qq, 0);
    const double spread = n * qq - q * q;
    if (!(spread > 0)) return false;
    const double scale = (n * qw - q * w) / spread;
    return scale > 0 && consider(scale, (w - scale * q) / n + scale * grid_.lowest);
  }

  const std::vector<double>&weights_, &importance_;
  const Grid& grid_;
  double low_ = 0, high_ = 0, least_ = INFINITY;
  BlockScale best_;
  int refits_ = 0;
};

}  // namespace

Grid::Grid(const FormatSpec& spec)
    : lowest(spec.format->levels(spec.symmetric).lowest),
      highest(spec.format->levels(spec.symmetric).highest),
      symmetric(spec.symmetric) {}

double as_stored_scale(double scale, const Grid& grid) {
  const float largest =
      grid.is_ternary() ? kLargestHalf : kLargestHalf * 0.999f / static_cast<float>(grid.highest - grid.lowest);
  const float magnitude = std::clamp(std::fabs(static_cast<float>(scale)), kSmallestScale, largest);
  return static_cast<float>(c10::Half(scale < 0 ? -magnitude : magnitude));
}

BlockScale fit_scale(const std::vector<double>& weights, const std::vector<double>& importance, const Grid& grid) {
  if (grid.is_ternary()) return {as_stored_scale(fit_trits(weights, importance), grid), 0};
  return BlockFit(weights, importance, grid).search();
}

}  // namespace tercet::solve
