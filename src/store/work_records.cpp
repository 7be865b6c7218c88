#include "store/work_records.hpp"

#include <cstring>

#include "tercet/base/hash.hpp"

namespace tercet::store {
namespace {

constexpr std::size_t kHashDigits = 64;
constexpr std::size_t kFixedBytes = sizeof(std::uint32_t) + sizeof(std::uint64_t) + kHashDigits;

std::string sizes_of(std::uint32_t key, std::uint64_t payload) {
  std::string bytes(sizeof key + sizeof payload, '\0');
  std::memcpy(bytes.data(), &key, sizeof key);
  std::memcpy(bytes.data() + sizeof key, &payload, sizeof payload);
  return bytes;
}

std::string hash_of(std::string_view sizes, std::string_view key, std::string_view payload) {
  Sha256 hash;
  hash.update(sizes);
  hash.update(key);
  hash.update(payload);
  return hash.hex();
}

}  // namespace

std::string work_header(const std::string& identity) {
  return "tercet-work-log 1 " + sha256_hex(identity) + "\n";
}

std::string work_record(std::string_view key, std::string_view payload) {
  const std::string sizes = sizes_of(static_cast<std::uint32_t>(key.size()), payload.size());
  std::string record = sizes + hash_of(sizes, key, payload);
  record.append(key).append(payload);
  return record;
}

bool read_work_records(std::string_view file, const std::string& identity,
                       const std::function<void(std::string_view key, std::string_view payload)>& use) {
  const std::string header = work_header(identity);
  if (!file.starts_with(header)) return false;
  for (std::string_view rest = file.substr(header.size()); !rest.empty();) {
    if (rest.size() < kFixedBytes) return false;
    std::uint32_t key_size = 0;
    std::uint64_t payload_size = 0;
    std::memcpy(&key_size, rest.data(), sizeof key_size);
    std::memcpy(&payload_size, rest.data() + sizeof key_size, sizeof payload_size);
    const std::size_t room = rest.size() - kFixedBytes;
    if (key_size > kLargestKey || key_size > room || payload_size > room - key_size) return false;
    const std::string_view sizes = rest.substr(0, kFixedBytes - kHashDigits);
    const std::string_view key = rest.substr(kFixedBytes, key_size);
    const std::string_view payload = rest.substr(kFixedBytes + key_size, payload_size);
    if (hash_of(sizes, key, payload) != rest.substr(sizes.size(), kHashDigits)) return false;
    use(key, payload);
    rest.remove_prefix(kFixedBytes + key_size + payload_size);
  }
  return true;
}

}  // namespace tercet::store
