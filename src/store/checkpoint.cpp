// The commit protocol (docs/formats.md), step by step.
#include "tercet/store/checkpoint.hpp"

#include <system_error>

#include "store/checkpoint_folder.hpp"
#include "store/manifest.hpp"
#include "store/slice_io.hpp"
#include "store/snapshot.hpp"
#include "store/state_file.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/text.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace store {
namespace {

void require_space(const fs::path& folder, const std::vector<TensorEntry>& tensors) {
  std::uintmax_t bytes = 4096;
  for (const TensorEntry& tensor : tensors) {
    bytes += static_cast<std::uintmax_t>(tensor.element_count() * tensor.element_bytes()) + 1024;
  }
  const std::uintmax_t needed = bytes + bytes / 10;
  const std::uintmax_t free = free_space(folder);
  if (free >= needed) return;
  throw StoreError("cannot save a checkpoint in '" + folder.string() + "'",
                   "it needs " + format_bytes(needed) + ", " + format_bytes(free) + " are free",
                   "free some space or lower checkpoint.keep");
}

// What the ranks must know before they write, made by rank 0.
struct Staging {
  fs::path folder;
  StateFile places;
};

Staging stage(Communicator& comm, const fs::path& folder, const Manifest& manifest) {
  const std::string text = on_root(comm, [&] {
    require_space(folder, manifest.tensors);
    const fs::path staged = make_staging(folder, manifest.step);
    try {
      const StateFile places = create_state_file(staged / "state.h5", manifest.tensors);
      return nlohmann::json{staged.string(), places.bytes, places.positions}.dump();
    } catch (...) {
      std::error_code ignored;
      fs::remove_all(staged, ignored);
      throw;
    }
  });
  const auto agreed = nlohmann::json::parse(text);
  return {agreed.at(0).get<std::string>(),
          {agreed.at(1).get<std::uint64_t>(), agreed.at(2).get<std::vector<std::uint64_t>>()}};
}

// Collective: all write, and all learn whether each could. The hashes of every rank's slices are the result.
std::vector<std::vector<std::string>> write_together(Communicator& comm, const Staging& staging,
                                                     const Snapshot& snapshot) {
  nlohmann::json mine{{"fault", ""}, {"hashes", nlohmann::json::array()}};
  try {
    mine["hashes"] =
        write_pieces(staging.folder / "state.h5", snapshot.manifest.tensors, staging.places, snapshot.pieces);
  } catch (const std::exception& error) {
    mine["fault"] = error.what();
  }
  comm.idle_barrier();  // a rank whose disk was faster must not burn its core while it waits
  std::vector<std::vector<std::string>> hashes;
  const auto answers = comm.all_gather(mine.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  for (std::size_t rank = 0; rank < answers.size(); ++rank) {
    const auto answer = nlohmann::json::parse(answers[rank]);
    if (const auto text = answer.at("fault").get<std::string>(); !text.empty()) {
      throw StoreError("checkpoint not saved", "rank " + std::to_string(rank) + ": " + text);
    }
    hashes.push_back(answer.at("hashes").get<std::vector<std::string>>());
  }
  return hashes;
}

// Each rank hashed its slices in the order of the file.
Manifest with_hashes(Manifest manifest, const std::vector<std::vector<std::string>>& hashes) {
  std::vector<std::size_t> next(hashes.size(), 0);
  for (const Assignment& one : in_runs(manifest.tensors, manifest.world_size)) {
    const auto rank = static_cast<std::size_t>(one.rank);
    manifest.tensors[one.tensor].slices[one.slice].sha256 = hashes[rank].at(next[rank]++);
  }
  return manifest;
}

void publish(const Staging& staging, const fs::path& folder, const Snapshot& snapshot,
             const std::vector<std::vector<std::string>>& hashes) {
  Manifest manifest = with_hashes(snapshot.manifest, hashes);
  manifest.state_bytes = staging.places.bytes;
  write_file_atomically(staging.folder / "manifest.json", to_text(manifest));
  publish_staged(staging.folder, folder, manifest.step);
}

}  // namespace

std::uint64_t commit(Communicator& comm, const CheckpointOptions& options, const Snapshot& snapshot) {
  const Staging staging = stage(comm, options.folder, snapshot.manifest);
  try {
    const auto hashes = write_together(comm, staging, snapshot);
    on_root(comm, [&] {
      publish(staging, options.folder, snapshot, hashes);
      return std::string();
    });
  } catch (const Error&) {  // the same on all ranks
    on_root(comm, [&] {
      std::error_code ignored;
      fs::remove_all(staging.folder, ignored);
      return std::string();
    });
    throw;
  }
  on_root(comm, [&] {
    remove_old(options.folder, snapshot.manifest.step, options.keep);
    return std::string();
  });
  return staging.places.bytes;
}

}  // namespace store

void save_checkpoint(Communicator& comm, const CheckpointOptions& options, std::int64_t step,
                     const StateTensors& tensors, const nlohmann::json& metadata) {
  store::require_same_state(comm, step, tensors);
  store::Snapshot snapshot;
  on_every_rank(comm, [&] { snapshot.take(comm, step, tensors, metadata, false); });
  store::commit(comm, options, snapshot);
}

}  // namespace tercet
