#include <system_error>

#include "store/checkpoint_folder.hpp"
#include "store/manifest.hpp"
#include "store/slice_io.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/checkpoint.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

constexpr std::uintmax_t kLargestManifest = std::uintmax_t{256} << 20;

std::vector<std::int64_t> agreed_steps(Communicator& comm, const fs::path& folder) {
  return nlohmann::json::parse(on_root(comm,
                                       [&] {
                                         store::bring_back_former(folder);
                                         return nlohmann::json(store::published_steps(folder)).dump();
                                       }))
      .get<std::vector<std::int64_t>>();
}

// What rank 0 found out about a checkpoint, for all ranks.
struct Findings {
  std::string fault;  // why it cannot be used
  std::string manifest;
};

bool has_fingerprint(const store::Manifest& manifest, const std::string& fingerprint) {
  return manifest.metadata.is_object() && manifest.metadata.value("fingerprint", nlohmann::json()) == fingerprint;
}

Findings look_at(const fs::path& checkpoint, std::int64_t step) {
  Findings found;
  try {
    found.manifest = read_file(checkpoint / "manifest.json", kLargestManifest);
    const store::Manifest manifest = store::parse_manifest(found.manifest);
    if (manifest.step != step) throw StoreError("manifest.json is of another step");
    std::error_code error;
    if (fs::file_size(checkpoint / "state.h5", error) != manifest.state_bytes || error) {
      throw StoreError("state.h5 is missing or has another size than when it was written");
    }
  } catch (const store::NewerFormat& error) {
    throw StoreError("cannot use '" + checkpoint.string() + "'", error.what());
  } catch (const std::exception& error) {
    found.fault = error.what();
    found.manifest.clear();
  }
  return found;
}

// Collective: all ranks go by what rank 0 read. Throws StoreError for a newer format.
Findings agreed_findings(Communicator& comm, const fs::path& checkpoint, std::int64_t step) {
  const auto answer = nlohmann::json::parse(on_root(comm, [&] {
    const Findings found = look_at(checkpoint, step);
    return nlohmann::json{found.fault, found.manifest}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }));
  return {answer.at(0), answer.at(1)};
}

// Collective.
void reject(Communicator& comm, const fs::path& folder, std::int64_t step, const std::string& fault) {
  const std::string name = on_root(comm, [&] { return store::set_bad_aside(folder, step); });
  log::warn("checkpoint " + store::step_name(step) + " in '" + folder.string() + "' does not verify (" + fault + "); " +
            (name.empty() ? "it could not be renamed and is passed over" : "it is now " + name));
}

}  // namespace

std::optional<Checkpoint> load_newest_checkpoint(Communicator& comm, const fs::path& folder,
                                                 const std::string& fingerprint) {
  for (const std::int64_t step : agreed_steps(comm, folder)) {
    const fs::path checkpoint = folder / store::step_name(step);
    Findings found = agreed_findings(comm, checkpoint, step);
    if (found.fault.empty()) {
      const store::Manifest manifest = store::parse_manifest(found.manifest);
      if (!has_fingerprint(manifest, fingerprint)) {
        log::warn("checkpoint " + store::step_name(step) + " in '" + folder.string() +
                  "' belongs to another configuration and is passed over");
        continue;
      }
      StateTensors tensors = store::read_tensors(comm, checkpoint / "state.h5", manifest, found.fault);
      if (found.fault.empty()) return Checkpoint{step, std::move(tensors), manifest.metadata};
    }
    reject(comm, folder, step, found.fault);
  }
  return std::nullopt;
}

}  // namespace tercet
