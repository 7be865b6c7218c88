// manifest.json of a checkpoint: what state.h5 must hold, how it is cut into slices, and the XXH3 of each. The last key
// is a SHA-256 over the rest, so that a changed manifest is noticed too.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tercet/base/error.hpp"
#include "tercet/store/checkpoint.hpp"

namespace tercet::store {

// The unit in which a state is written, hashed, read and sent. The cut follows from the shapes alone, so neither bytes
// nor hashes show how many ranks wrote them.
struct Slice {  // of a tensor's elements in memory order
  std::int64_t offset = 0, count = 0;
  std::string xxh3;
};
inline constexpr std::int64_t kSliceBytes = std::int64_t{4} << 20;

struct TensorEntry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string dtype;           // "float32", "float64", "int64"
  std::vector<Slice> slices;   // in order; together every element once
  std::uint64_t position = 0;  // of the first element in state.h5; 0 for a tensor without elements
  std::int64_t element_count() const;
  std::int64_t element_bytes() const;
};

struct Manifest {
  std::int64_t step = 0;
  int world_size = 1;             // ranks that wrote it
  std::uint64_t state_bytes = 0;  // size of state.h5
  std::vector<TensorEntry> tensors;
  nlohmann::json metadata;
};

// The tensors as entries, cut into slices of at most `slice_bytes`; no hashes yet.
std::vector<TensorEntry> describe(const StateTensors& tensors, std::int64_t slice_bytes = kSliceBytes);

// One slice of a manifest, and the rank that takes care of it.
struct Assignment {
  std::size_t tensor = 0, slice = 0;
  int rank = 0;
};
// All slices in the order of the file: each rank has one contiguous run of about the same number of bytes.
std::vector<Assignment> in_runs(const std::vector<TensorEntry>& tensors, int ranks);

std::string dtype_name(at::ScalarType dtype);      // "" for one that a checkpoint cannot hold
at::ScalarType dtype_of(const std::string& name);  // throws StoreError

// A sound manifest of a later format: to be left alone, not to be taken for damage.
class NewerFormat : public StoreError {
 public:
  using StoreError::StoreError;
};

std::string to_text(const Manifest& manifest);
// Throws StoreError saying what is wrong: no JSON, a wrong checksum, another format, slices that do not cover; and
// NewerFormat for a higher version (which keeps the checksum and its rule).
Manifest parse_manifest(const std::string& text);

}  // namespace tercet::store
