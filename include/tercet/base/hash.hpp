// SHA-256, a 64-bit hash for sampling decisions, and a checksum that is faster than disks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tercet {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  std::string hex();  // lower case, 64 characters; the object cannot be updated afterwards

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view text);
std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_file(const std::filesystem::path& path);  // throws StoreError

// XXH3, 128 bits, in its canonical form (xxHash 0.8, Y. Collet): notices accidents, not forgery.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(const Xxh3&) = delete;
  Xxh3& operator=(const Xxh3&) = delete;
  void update(std::span<const std::byte> bytes);
  std::string hex() const;  // lower case, 32 characters

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// First 8 bytes of SHA-256, big endian: stable across machines, good enough to split documents by.
std::uint64_t hash64(std::string_view text);

}  // namespace tercet
