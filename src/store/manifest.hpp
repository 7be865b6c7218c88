// manifest.json of a checkpoint: what state.h5 must hold, who wrote which slice and its SHA-256. The last key is a
// SHA-256 over the rest, so that a changed manifest is noticed too.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tercet/store/checkpoint.hpp"

namespace tercet::store {

struct Slice {  // of a tensor's elements in memory order
  std::int64_t offset = 0, count = 0;
  std::string sha256;
};

struct TensorEntry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string dtype;          // "float32", "float64", "int64"
  std::vector<Slice> slices;  // one per writing rank, in order; together every element once
  std::int64_t element_count() const;
};

struct Manifest {
  std::int64_t step = 0;
  int world_size = 1;
  std::uint64_t state_bytes = 0;  // size of state.h5
  std::vector<TensorEntry> tensors;
  nlohmann::json metadata;
};

// The share of `rank` of `count` elements: contiguous, in the order of ranks, sizes differing by at most one.
Slice share_of(std::int64_t count, int rank, int world_size);

std::string dtype_name(at::ScalarType dtype);      // "" for one that a checkpoint cannot hold
at::ScalarType dtype_of(const std::string& name);  // throws StoreError

std::string to_text(const Manifest& manifest);
// Throws StoreError saying what is wrong: no JSON, a wrong checksum, another format version, slices that do not cover.
Manifest parse_manifest(const std::string& text);

}  // namespace tercet::store
