#include "tercet/base/hash.hpp"

#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <array>

#include "tercet/base/file.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet {
namespace {

std::string hex_of(std::span<const unsigned char> digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.size());
  for (unsigned char byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string hex_of(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  return hex_of(canonical.digest);
}

constexpr std::size_t kPartBytes = std::size_t{16} << 20;  // a large file shows signs of life while it is hashed

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr);
}
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    heartbeat::beat();
    const auto part = bytes.first(std::min(bytes.size(), kPartBytes));
    EVP_DigestUpdate(state_->context, part.data(), part.size());
    bytes = bytes.subspan(part.size());
  }
}

void Sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text)));
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  unsigned length = 0;
  EVP_DigestFinal_ex(state_->context, digest.data(), &length);
  return hex_of(digest);
}

std::string sha256_hex(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.hex();
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_file(const std::filesystem::path& path) {
  return sha256_hex(MappedFile(path).bytes());
}

struct Xxh3::State {
  XXH3_state_t* context = XXH3_createState();
  ~State() { XXH3_freeState(context); }
};

Xxh3::Xxh3() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(state_->context);
}
Xxh3::~Xxh3() = default;

void Xxh3::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->context, bytes.data(), bytes.size());
}

std::string Xxh3::hex() const {
  return hex_of(XXH3_128bits_digest(state_->context));
}

std::uint64_t hash64(std::string_view text) {
  return std::stoull(sha256_hex(text).substr(0, 16), nullptr, 16);
}

}  // namespace tercet
