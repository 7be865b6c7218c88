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

// Rank 0 makes the folder and the file; all ranks learn its name and, in the manifest, where to write.
fs::path stage(Communicator& comm, const fs::path& folder, Manifest& manifest) {
  const std::string text = on_root(comm, [&] {
    require_space(folder, manifest.tensors);
    const fs::path staged = make_staging(folder, manifest.step);
    try {
      const Places places = create_state_file(staged / "state.h5", manifest.tensors);
      return nlohmann::json{staged.string(), places.file_bytes, places.positions}.dump();
    } catch (...) {
      std::error_code ignored;
      fs::remove_all(staged, ignored);
      throw;
    }
  });
  const auto agreed = nlohmann::json::parse(text);
  manifest.state_bytes = agreed.at(1);
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) manifest.tensors[i].position = agreed.at(2).at(i);
  return agreed.at(0).get<std::string>();
}

// Collective: all write, and all learn whether each could. The hashes of every rank's slices are the result.
std::vector<std::vector<std::string>> write_together(Communicator& comm, const fs::path& staged,
                                                     const std::vector<TensorEntry>& tensors,
                                                     const std::vector<Piece>& pieces) {
  nlohmann::json mine{{"fault", ""}, {"hashes", nlohmann::json::array()}};
  try {
    mine["hashes"] = write_pieces(staged / "state.h5", tensors, pieces);
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
void take_over(const std::vector<std::vector<std::string>>& hashes, Manifest& manifest) {
  std::vector<std::size_t> next(hashes.size(), 0);
  for (const Assignment& one : in_runs(manifest.tensors, manifest.world_size)) {
    const auto rank = static_cast<std::size_t>(one.rank);
    manifest.tensors[one.tensor].slices[one.slice].xxh3 = hashes[rank].at(next[rank]++);
  }
}

}  // namespace

std::uint64_t commit(Communicator& comm, const CheckpointOptions& options, const Snapshot& snapshot) {
  Manifest manifest = snapshot.manifest;
  const fs::path staged = stage(comm, options.folder, manifest);
  try {
    take_over(write_together(comm, staged, manifest.tensors, snapshot.pieces), manifest);
    on_root(comm, [&] {
      write_file_atomically(staged / "manifest.json", to_text(manifest));
      publish_staged(staged, options.folder, manifest.step);
      return std::string();
    });
  } catch (const Error&) {  // the same on all ranks
    on_root(comm, [&] {
      std::error_code ignored;
      fs::remove_all(staged, ignored);
      return std::string();
    });
    throw;
  }
  on_root(comm, [&] {
    remove_old(options.folder, manifest.step, options.keep);
    return std::string();
  });
  return manifest.state_bytes;
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
