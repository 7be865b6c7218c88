#include "tercet/store/checkpoint.hpp"

#include <cerrno>
#include <set>
#include <system_error>

#include "store/checkpoint_folder.hpp"
#include "store/manifest.hpp"
#include "store/state_file.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/text.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

void require_storable(const StateTensors& tensors) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    const std::string what = "cannot save tensor '" + name + "' in a checkpoint";
    if (name.empty() || !names.insert(name).second) throw StoreError(what, "its name is empty or comes twice");
    if (!tensor.defined() || !tensor.device().is_cpu() || !tensor.is_contiguous()) {
      throw StoreError(what, "it is not a contiguous tensor on the host");
    }
    if (store::dtype_name(tensor.scalar_type()).empty()) {
      throw StoreError(what, "its dtype is not float32, float64 or int64");
    }
  }
}

// Names, shapes and dtypes of what a rank wants to save: the same on all, or the slices would not fit together.
std::string layout_hash(std::int64_t step, const StateTensors& tensors) {
  Sha256 hash;
  hash.update(std::to_string(step));
  for (const auto& [name, tensor] : tensors) {
    hash.update(nlohmann::json{name, tensor.sizes().vec(), store::dtype_name(tensor.scalar_type())}.dump());
  }
  return hash.hex();
}

void require_same_layout(Communicator& comm, std::int64_t step, const StateTensors& tensors) {
  const auto hashes = comm.all_gather(layout_hash(step, tensors));
  for (std::size_t rank = 1; rank < hashes.size(); ++rank) {
    if (hashes[rank] != hashes[0]) {
      throw StoreError("cannot save a checkpoint", "rank " + std::to_string(rank) + " holds other tensors than rank 0");
    }
  }
}

void require_space(const fs::path& folder, const StateTensors& tensors) {
  std::uintmax_t bytes = 4096;
  for (const auto& [name, tensor] : tensors) bytes += tensor.nbytes() + 1024;
  const std::uintmax_t needed = bytes + bytes / 10;
  const std::uintmax_t free = free_space(folder);
  if (free >= needed) return;
  throw StoreError("cannot save a checkpoint in '" + folder.string() + "'",
                   "it needs " + format_bytes(needed) + ", " + format_bytes(free) + " are free",
                   "free some space or lower checkpoint.keep");
}

// What the ranks agree on before writing, made by rank 0.
struct Staging {
  fs::path folder;
  std::uint64_t state_bytes = 0;
};

Staging stage(Communicator& comm, const CheckpointOptions& options, std::int64_t step, const StateTensors& tensors) {
  const std::string text = on_root(comm, [&] {
    require_space(options.folder, tensors);
    const fs::path staged = store::make_staging(options.folder, step);
    try {
      const std::uint64_t bytes = store::create_state_file(staged / "state.h5", tensors);
      return nlohmann::json{staged.string(), bytes}.dump();
    } catch (...) {
      std::error_code ignored;
      fs::remove_all(staged, ignored);
      throw;
    }
  });
  const auto agreed = nlohmann::json::parse(text);
  return {agreed.at(0).get<std::string>(), agreed.at(1).get<std::uint64_t>()};
}

store::Manifest make_manifest(const StateTensors& tensors, const std::vector<std::vector<std::string>>& hashes) {
  store::Manifest manifest;
  manifest.world_size = static_cast<int>(hashes.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    store::TensorEntry entry{name, tensor.sizes().vec(), store::dtype_name(tensor.scalar_type()), {}};
    for (std::size_t rank = 0; rank < hashes.size(); ++rank) {
      store::Slice slice = store::share_of(tensor.numel(), static_cast<int>(rank), manifest.world_size);
      slice.sha256 = hashes[rank][i];
      entry.slices.push_back(std::move(slice));
    }
    manifest.tensors.push_back(std::move(entry));
  }
  return manifest;
}

// Collective: all write, and all learn whether each could. The hashes of every rank are the result.
std::vector<std::vector<std::string>> write_together(Communicator& comm, const fs::path& state_file,
                                                     const StateTensors& tensors) {
  std::vector<std::string> mine;
  std::string fault;
  try {
    mine = store::write_shares(comm, state_file, tensors);
  } catch (const std::exception& error) {
    fault = error.what();
  }
  std::vector<std::vector<std::string>> hashes;
  const auto answers = comm.all_gather(nlohmann::json{{"fault", fault}, {"hashes", mine}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace));
  for (std::size_t rank = 0; rank < answers.size(); ++rank) {
    const auto answer = nlohmann::json::parse(answers[rank]);
    if (const auto text = answer.at("fault").get<std::string>(); !text.empty()) {
      throw StoreError("checkpoint not saved", "rank " + std::to_string(rank) + ": " + text);
    }
    hashes.push_back(answer.at("hashes").get<std::vector<std::string>>());
  }
  return hashes;
}

}  // namespace

void save_checkpoint(Communicator& comm, const CheckpointOptions& options, std::int64_t step,
                     const StateTensors& tensors, const nlohmann::json& metadata) {
  on_every_rank(comm, [&] {
    require_storable(tensors);
    if (step < 0) throw StoreError("cannot save a checkpoint", "step " + std::to_string(step) + " is negative");
  });
  require_same_layout(comm, step, tensors);
  const Staging staging = stage(comm, options, step, tensors);
  try {
    const auto hashes = write_together(comm, staging.folder / "state.h5", tensors);
    on_root(comm, [&] {
      store::Manifest manifest = make_manifest(tensors, hashes);
      manifest.step = step;
      manifest.state_bytes = fs::file_size(staging.folder / "state.h5");
      manifest.metadata = metadata;
      write_file_atomically(staging.folder / "manifest.json", store::to_text(manifest));
      store::publish_staged(staging.folder, options.folder, step);
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
    store::remove_old(options.folder, options.keep);
    return std::string();
  });
}

}  // namespace tercet
