// state.h5 of a checkpoint, beside a manifest that is sound but for the size, which goes with the input: so HDF5 gets
// to see the file.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include <nlohmann/json.hpp>

#include "target.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/checkpoint.hpp"

namespace tercet::fuzz {
namespace {

namespace fs = std::filesystem;
constexpr const char* kFingerprint = "f";

fs::path folder() {
  return scratch() / "checkpoints";
}
fs::path checkpoint() {
  return folder() / "step-00000004";
}

// manifest.json and state.h5 of a checkpoint that our writer made.
const std::pair<std::string, std::string>& sound() {
  static const auto files = [] {
    log::open({0, 1, log::Level::kError, {}, 10.0});  // a warning for each input would be too many
    const StateTensors state = {{"master.w", at::arange(6, at::kFloat).view({2, 3})},
                                {"step", at::arange(3, at::kLong)}};
    save_checkpoint(*make_self_communicator(), {folder(), 2}, 4, state, {{"fingerprint", kFingerprint}});
    return std::pair(content_of(checkpoint() / "manifest.json"), content_of(checkpoint() / "state.h5"));
  }();
  return files;
}

std::string manifest_for(std::size_t state_bytes) {
  auto manifest = nlohmann::json::parse(sound().first);
  manifest["state_bytes"] = state_bytes;
  manifest.erase("manifest_sha256");
  manifest["manifest_sha256"] = sha256_hex(std::string_view(manifest.dump()));
  return manifest.dump(1);
}

std::vector<std::string> seeds() {
  return {sound().second};
}

void read(std::string_view input) {
  const std::string manifest = manifest_for(input.size());
  fs::remove_all(folder());
  scratch_file("checkpoints/step-00000004/manifest.json", manifest);
  scratch_file("checkpoints/step-00000004/state.h5", input);
  (void)load_newest_checkpoint(*make_self_communicator(), folder(), kFingerprint);
}

const Registration kTarget({"state_file", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
