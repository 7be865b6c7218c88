// manifest.json of a checkpoint. The checksum over the rest is put right before reading: it keeps accidents out, not
// those who can compute it.
#include "store/manifest.hpp"

#include <algorithm>

#include "target.hpp"
#include "tercet/base/hash.hpp"

namespace tercet::fuzz {
namespace {

constexpr const char* kChecksum = "manifest_sha256";

std::vector<std::string> seeds() {
  store::Manifest manifest;
  manifest.step = 4;
  manifest.world_size = 2;
  manifest.state_bytes = 4096;
  manifest.tensors = {{"master.w", {2, 3}, "float32", {{0, 3, "x"}, {3, 3, "y"}}},
                      {"step", {}, "int64", {{0, 1, "z"}}}};
  manifest.metadata = {{"fingerprint", "f"}, {"first_loss", 2.5}};
  return {store::to_text(manifest)};
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
  const store::Manifest manifest = store::parse_manifest(with_checksum(input));
  (void)store::parse_manifest(store::to_text(manifest));
}

const Registration kTarget({"manifest", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
