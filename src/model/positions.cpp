#include "model/positions.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>

#include <numbers>

namespace tercet {
namespace {

constexpr std::size_t kMostEntries = 8;  // lengths kept: training uses one, evaluation a second for the last window

at::Tensor llama3_scaled(const at::Tensor& frequencies, const RopeScaling& scaling) {
  const auto original = static_cast<double>(scaling.original_max_positions);
  const double longest = original / scaling.low_freq_factor, shortest = original / scaling.high_freq_factor;
  const at::Tensor wavelength = 2.0 * std::numbers::pi / frequencies;
  const at::Tensor slowed = at::where(wavelength > longest, frequencies / scaling.factor, frequencies);
  const at::Tensor smooth =
      (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  const at::Tensor blended = (1 - smooth) * slowed / scaling.factor + smooth * slowed;
  const at::Tensor between = wavelength.ge(shortest).logical_and(wavelength.le(longest));
  return at::where(between, blended, slowed);
}

at::Tensor window_mask(std::int64_t length, std::int64_t window, c10::Device device) {
  const at::Tensor at_position = at::arange(length, at::TensorOptions().dtype(at::kLong).device(device));
  const at::Tensor distance = at_position.unsqueeze(1) - at_position.unsqueeze(0);  // query - key
  return distance.ge(0).logical_and(distance.lt(window));
}

PositionTables make_tables(const ModelConfig& config, std::int64_t length, c10::Device device) {
  PositionTables tables;
  if (config.family != Family::kGpt2) {
    const at::Tensor angles = at::outer(at::arange(length, at::kFloat), rotary_frequencies(config));
    tables.cos = angles.cos().to(device);
    tables.sin = angles.sin().to(device);
  }
  if (config.sliding_window && length > *config.sliding_window) {
    tables.mask = window_mask(length, *config.sliding_window, device);
  }
  return tables;
}

}  // namespace

at::Tensor rotary_frequencies(const ModelConfig& config) {
  const auto rotary = static_cast<std::int64_t>(static_cast<double>(config.head_dim) * config.rotary_fraction);
  const at::Tensor exponent = at::arange(0, rotary, 2, at::kFloat) / static_cast<double>(rotary);
  const at::Tensor plain = 1.0 / at::pow(config.rope_theta, exponent);
  switch (config.rope_scaling.kind) {
    case RopeScaling::Kind::kLinear:
      return plain / config.rope_scaling.factor;
    case RopeScaling::Kind::kLlama3:
      return llama3_scaled(plain, config.rope_scaling);
    case RopeScaling::Kind::kNone:
      break;
  }
  return plain;
}

PositionTables PositionCache::get(const ModelConfig& config, std::int64_t length, c10::Device device) {
  const std::lock_guard lock(mutex_);
  for (const auto& entry : entries_) {
    if (entry.length == length && entry.device == device) return entry.tables;
  }
  if (entries_.size() == kMostEntries) entries_.erase(entries_.begin());
  entries_.push_back({length, device, make_tables(config, length, device)});
  return entries_.back().tables;
}

}  // namespace tercet
