// manifest.json of a checkpoint, beside a state.h5 that is sound. The checksum over the rest is put right before
// reading: it keeps accidents out, not those who can compute it.
#include "store/manifest.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include <algorithm>

#include "target.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/checkpoint.hpp"

namespace tercet::fuzz {
namespace {

namespace fs = std::filesystem;
constexpr const char* kChecksum = "manifest_sha256";
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

std::vector<std::string> seeds() {
  store::Manifest manifest = store::parse_manifest(sound().first);
  manifest.tensors[0].slices = {{0, 3, "x"}, {3, 3, "y"}};
  return {sound().first, store::to_text(manifest)};
}

std::string with_checksum(std::string_view input) {
  // As shallow as the reader takes it: what is deeper would break the library here, in the test.
  if (std::count(input.begin(), input.end(), '[') + std::count(input.begin(), input.end(), '{') > 500)
    return std::string(input);
  auto body = nlohmann::json::parse(input, nullptr, false);
  if (!body.is_object()) return std::string(input);
  body.erase(kChecksum);
  body[kChecksum] = sha256_hex(std::string_view(body.dump()));
  return body.dump();
}

void read(std::string_view input) {
  const std::string text = with_checksum(input);
  const store::Manifest manifest = store::parse_manifest(text);
  (void)store::parse_manifest(store::to_text(manifest));
  fs::remove_all(folder());
  scratch_file("checkpoints/step-00000004/manifest.json", text);
  scratch_file("checkpoints/step-00000004/state.h5", sound().second);
  (void)load_newest_checkpoint(*make_self_communicator(), folder(), kFingerprint);
}

const Registration kTarget({"manifest", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
