#include "gguf_view.hpp"

#include <c10/util/Half.h>

#include <cstring>

#include "tercet/base/error.hpp"

namespace tercet::gguf_check {

Container::Container(const std::filesystem::path& path) : file_(path), rest_(file_.text()) {
  if (take(4) != "GGUF") fail("it does not begin with GGUF");
  if (number<std::uint32_t>() != 3) fail("it is not of version 3");
  const auto tensor_count = number<std::uint64_t>();
  const auto key_count = number<std::uint64_t>();
  for (std::uint64_t i = 0; i < key_count; ++i) {
    const std::string key = text();
    read_value(key, number<std::uint32_t>());
  }
  for (std::uint64_t i = 0; i < tensor_count; ++i) read_tensor();
  const std::size_t header = file_.text().size() - rest_.size();
  take((32 - header % 32) % 32);
  data_ = rest_;
  check_extents();
}

void Container::fail(const std::string& reason) const {
  throw DataError("'" + file_.path().string() + "' is not a sound GGUF file", reason);
}

std::string_view Container::take(std::uint64_t count) {
  if (count > rest_.size()) fail("it ends too early");
  const std::string_view taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

template <typename Number>
Number Container::number() {
  Number value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

std::string Container::text() {
  return std::string(take(number<std::uint64_t>()));
}

double Container::scalar(std::uint32_t type) {
  if (type == 4) return number<std::uint32_t>();
  if (type == 5) return number<std::int32_t>();
  if (type == 6) return static_cast<double>(number<float>());
  if (type == 7) return number<std::uint8_t>();
  fail("it has a value of the type " + std::to_string(type));
}

void Container::read_value(const std::string& key, std::uint32_t type) {
  if (type == 8) {
    texts[key] = text();
  } else if (type != 9) {
    numbers[key] = scalar(type);
  } else {
    const auto item_type = number<std::uint32_t>();
    const auto count = number<std::uint64_t>();
    for (std::uint64_t i = 0; i < count; ++i) {
      if (item_type == 8) lists[key].push_back(text());
      if (item_type != 8) rows[key].push_back(scalar(item_type));
    }
  }
}

void Container::read_tensor() {
  const std::string name = text();
  const auto dimensions = number<std::uint32_t>();
  if (dimensions < 1 || dimensions > 4) fail("tensor '" + name + "' has " + std::to_string(dimensions) + " dimensions");
  TensorEntry entry;
  entry.sizes.resize(dimensions);
  for (std::uint64_t& size : entry.sizes) size = number<std::uint64_t>();
  entry.type = number<std::uint32_t>();
  entry.offset = number<std::uint64_t>();
  if (name.size() >= 64) fail("the name '" + name + "' is too long");
  if (!tensors.emplace(name, entry).second) fail("tensor '" + name + "' is there twice");
}

std::uint64_t Container::bytes_of(const std::string& name, const TensorEntry& entry) const {
  const Block block = block_of(entry.type);
  if (block.bytes == 0) fail("tensor '" + name + "' is of the type " + std::to_string(entry.type));
  if (entry.sizes[0] % block.values != 0) fail("a row of '" + name + "' is not of whole blocks");
  std::uint64_t values = 1;
  for (const std::uint64_t size : entry.sizes) {
    // Nothing takes less than a bit, so that whatever is larger than the file in bits does not fit.
    if (size == 0 || size > 8 * file_.text().size() / values) fail("the shape of '" + name + "' is out of range");
    values *= size;
  }
  return values / block.values * block.bytes;
}

void Container::check_extents() const {
  std::map<std::uint64_t, std::uint64_t> extents;
  for (const auto& [name, entry] : tensors) {
    if (!extents.emplace(entry.offset, bytes_of(name, entry)).second) fail("'" + name + "' lies over another tensor");
  }
  std::uint64_t end = 0;
  for (const auto& [offset, bytes] : extents) {
    if (offset != end) fail("its tensors do not lie one behind the other");
    if (bytes > data_.size() || offset > data_.size() - bytes) fail("it ends too early");
    end = (offset + bytes + 31) / 32 * 32;
  }
  if (end != data_.size()) fail("its last tensor does not end where the file does");
}

Block block_of(std::uint32_t type) {
  switch (type) {
    case 0:
      return {"F32", 1, 4};
    case 1:
      return {"F16", 1, 2};
    case 2:
      return {"Q4_0", 32, 18};
    case 8:
      return {"Q8_0", 32, 34};
    case 34:
      return {"TQ1_0", 256, 54, 52};
    case 35:
      return {"TQ2_0", 256, 66, 64};
    case 42:
      return {"Q2_0", 64, 18};
    default:
      return {};
  }
}

namespace {

float half_at(const std::uint8_t* bytes) {
  c10::Half value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<float>(value);
}

int ternary_digit(std::uint8_t byte, std::uint64_t place) {
  unsigned shifted = byte;
  for (std::uint64_t k = 0; k < place; ++k) shifted = shifted * 3 % 256;
  return static_cast<int>(shifted * 3 >> 8) - 1;
}

}  // namespace

float scale(std::uint32_t type, const std::uint8_t* block) {
  return half_at(block + block_of(type).scale_at);
}

float element(std::uint32_t type, const std::uint8_t* block, std::uint64_t n) {
  switch (type) {
    case 0: {
      float value = 0;
      std::memcpy(&value, block, sizeof value);
      return value;
    }
    case 1:
      return half_at(block);
    case 2:
      return half_at(block) * static_cast<float>((n < 16 ? block[2 + n] & 15 : block[2 + n - 16] >> 4) - 8);
    case 8:
      return half_at(block) * static_cast<float>(static_cast<std::int8_t>(block[2 + n]));
    case 34:
      if (n < 160) return half_at(block + 52) * static_cast<float>(ternary_digit(block[n % 32], n / 32));
      if (n < 240) return half_at(block + 52) * static_cast<float>(ternary_digit(block[32 + n % 16], (n - 160) / 16));
      return half_at(block + 52) * static_cast<float>(ternary_digit(block[48 + n % 4], (n - 240) / 4));
    case 35:
      return half_at(block + 64) * static_cast<float>((block[32 * (n / 128) + n % 32] >> 2 * (n / 32 % 4) & 3) - 1);
    default:
      return half_at(block) * static_cast<float>((block[2 + n / 4] >> 2 * (n % 4) & 3) - 1);
  }
}

}  // namespace tercet::gguf_check
