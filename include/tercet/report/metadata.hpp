// compression_metadata.json: what the next phase reads beside the artifacts. The 19 metrics carry the names that the
// original system gave them, here with measured values; what does not apply is null.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tercet/report/results.hpp"

namespace tercet {

// The 19, each "compression/<name>". Definitions: docs/formats.md and metric_definitions().
nlohmann::json compression_metrics(const RunResults& results, const Verdict& verdict);
nlohmann::json metric_definitions();  // the same names, each with a sentence

// {"relative/path": SHA-256} of every file below `folder` but compression_metadata.json. Throws StoreError.
nlohmann::json file_table(const std::filesystem::path& folder);

struct MetadataInput {
  RunResults results;
  Verdict verdict;
  std::string method = "BitNet-1.58";                 // for ternary; otherwise the name of the format, or "mixed"
  double bits = 1.58;                                 // of a code, on average
  nlohmann::json config;                              // resolved
  nlohmann::json quantization;                        // format, group size, activation bits
  nlohmann::json allocation;                          // of bits to layers for a target; null without one
  nlohmann::json data;                                // sources with hashes, documents and tokens
  nlohmann::json model;                               // source folder and hashes
  nlohmann::json versions;                            // tercet, LibTorch, HDF5, MPI
  nlohmann::json run;                                 // ranks, backend, attempt, start: of this run and not of the job
  nlohmann::json exports = nlohmann::json::object();  // by export for other programs: what was chosen and why
  nlohmann::json files;                               // file_table()
  double created = 0;                                 // seconds since 1970
};
nlohmann::json compression_metadata(const MetadataInput& input);

// The text of the file: with `metadata_sha256`, the SHA-256 of all else as compact JSON with sorted keys.
std::string metadata_text(nlohmann::json metadata);

}  // namespace tercet
