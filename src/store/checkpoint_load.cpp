#include <system_error>

#include "store/checkpoint_folder.hpp"
#include "store/manifest.hpp"
#include "store/state_file.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/checkpoint.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

constexpr std::uintmax_t kLargestManifest = std::uintmax_t{256} << 20;

std::vector<std::int64_t> agreed_steps(Communicator& comm, const fs::path& folder) {
  return nlohmann::json::parse(on_root(comm, [&] { return nlohmann::json(store::published_steps(folder)).dump(); }))
      .get<std::vector<std::int64_t>>();
}

// Collective: all ranks look at the bytes that rank 0 read. {"fault": ...} or {"manifest": text}.
std::string agreed_manifest(Communicator& comm, const fs::path& checkpoint, std::int64_t step, std::string& fault) {
  const auto answer = nlohmann::json::parse(on_root(comm, [&] {
    try {
      const std::string text = read_file(checkpoint / "manifest.json", kLargestManifest);
      if (store::parse_manifest(text).step != step) throw StoreError("manifest.json is of another step");
      return nlohmann::json{{"fault", ""}, {"manifest", text}}.dump();
    } catch (const std::exception& error) {
      return nlohmann::json{{"fault", error.what()}, {"manifest", ""}}.dump(-1, ' ', false,
                                                                            nlohmann::json::error_handler_t::replace);
    }
  }));
  fault = answer.at("fault").get<std::string>();
  return answer.at("manifest").get<std::string>();
}

// Collective: the tensors, if every rank could read and verify all of them; else the first rank's fault.
StateTensors agreed_tensors(Communicator& comm, const fs::path& checkpoint, const store::Manifest& manifest,
                            std::string& fault) {
  StateTensors tensors;
  std::string mine;
  try {
    tensors = store::read_state_file(checkpoint / "state.h5", manifest);
  } catch (const std::exception& error) {
    mine = error.what();
  }
  const std::vector<std::string> faults = comm.all_gather(mine);
  for (std::size_t rank = 0; rank < faults.size() && fault.empty(); ++rank) {
    if (!faults[rank].empty()) fault = "rank " + std::to_string(rank) + ": " + faults[rank];
  }
  return tensors;
}

// Collective.
void reject(Communicator& comm, const fs::path& folder, std::int64_t step, const std::string& fault) {
  const std::string name = on_root(comm, [&] { return store::set_bad_aside(folder, step); });
  log::warn("checkpoint " + store::step_name(step) + " in '" + folder.string() + "' does not verify (" + fault + "); " +
            (name.empty() ? "it could not be renamed and is passed over" : "it is now " + name));
}

bool has_fingerprint(const store::Manifest& manifest, const std::string& fingerprint) {
  return manifest.metadata.is_object() && manifest.metadata.value("fingerprint", nlohmann::json()) == fingerprint;
}

}  // namespace

std::optional<Checkpoint> load_newest_checkpoint(Communicator& comm, const fs::path& folder,
                                                 const std::string& fingerprint) {
  for (const std::int64_t step : agreed_steps(comm, folder)) {
    const fs::path checkpoint = folder / store::step_name(step);
    std::string fault;
    const std::string text = agreed_manifest(comm, checkpoint, step, fault);
    if (fault.empty()) {
      const store::Manifest manifest = store::parse_manifest(text);
      if (!has_fingerprint(manifest, fingerprint)) {
        log::warn("checkpoint " + store::step_name(step) + " in '" + folder.string() +
                  "' belongs to another configuration and is passed over");
        continue;
      }
      StateTensors tensors = agreed_tensors(comm, checkpoint, manifest, fault);
      if (fault.empty()) return Checkpoint{step, std::move(tensors), manifest.metadata};
    }
    reject(comm, folder, step, fault);
  }
  return std::nullopt;
}

}  // namespace tercet
