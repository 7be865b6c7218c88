// Tables that depend only on the architecture and the length: rotary cosines and sines, sliding-window masks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "tercet/model_io/model_config.hpp"

namespace tercet {

// Angular frequency of each rotated pair, fp32, with the scaling of the configuration applied (linear: Chen et al.
// 2023; llama3: as published with Llama 3.1). The arithmetic is in fp32 like transformers', so that long positions
// agree.
at::Tensor rotary_frequencies(const ModelConfig& config);

struct PositionTables {
  at::Tensor cos, sin;  // [length, rotary / 2] fp32; undefined for learned positions
  at::Tensor mask;      // [length, length] bool, true: may attend; undefined when plain causal is right
};

// Computes tables once per length and device. Safe to use from several threads.
class PositionCache {
 public:
  PositionTables get(const ModelConfig& config, std::int64_t length, c10::Device device);

 private:
  struct Entry {
    std::int64_t length;
    c10::Device device;
    PositionTables tables;
  };
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace tercet
