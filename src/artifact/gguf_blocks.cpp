#include "gguf_blocks.hpp"

#include <ATen/ops/empty.h>

#include <cstring>

#include "tercet/base/heartbeat.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

// `count` trits as one base-3 number, the first the most significant, scaled so that a reader gets digit k as
// (byte x 3^k mod 256) x 3 / 256.
std::uint8_t base3_byte(const std::int8_t* trits, std::int64_t stride, int count) {
  unsigned number = 0;
  for (int k = 0; k < 5; ++k) number = 3 * number + (k < count ? static_cast<unsigned>(trits[k * stride] + 1) : 0U);
  return static_cast<std::uint8_t>((number * 256 + 242) / 243);
}

void encode_tq1_0(const std::int8_t* levels, std::uint8_t* codes) {
  for (int m = 0; m < 32; ++m) codes[m] = base3_byte(levels + m, 32, 5);
  for (int m = 0; m < 16; ++m) codes[32 + m] = base3_byte(levels + 160 + m, 16, 5);
  for (int m = 0; m < 4; ++m) codes[48 + m] = base3_byte(levels + 240 + m, 4, 4);
}

void encode_tq2_0(const std::int8_t* levels, std::uint8_t* codes) {
  std::memset(codes, 0, 64);
  for (int n = 0; n < 256; ++n)
    codes[32 * (n / 128) + n % 32] |= static_cast<std::uint8_t>((levels[n] + 1) << 2 * (n % 128 / 32));
}

void encode_q2_0(const std::int8_t* levels, std::uint8_t* codes) {
  std::memset(codes, 0, 16);
  for (int n = 0; n < 64; ++n) codes[n / 4] |= static_cast<std::uint8_t>((levels[n] + 1) << 2 * (n % 4));
}

void encode_q4_0(const std::int8_t* levels, std::uint8_t* codes) {
  for (int m = 0; m < 16; ++m) codes[m] = static_cast<std::uint8_t>((levels[m] + 8) | (levels[m + 16] + 8) << 4);
}

void encode_q8_0(const std::int8_t* levels, std::uint8_t* codes) {
  std::memcpy(codes, levels, 32);
}

bool holds(const BlockType& type, const LevelRange& range) {
  return range.lowest >= type.lowest && range.highest <= type.highest;
}

// With levels and scale negated.
bool holds_mirrored(const BlockType& type, const LevelRange& range) {
  return holds(type, {-range.highest, -range.lowest});
}

}  // namespace

const BlockType kTq1_0{"TQ1_0", 34, 36, 256, 54, -1, 1, false, encode_tq1_0};
const BlockType kTq2_0{"TQ2_0", 35, 37, 256, 66, -1, 1, false, encode_tq2_0};
const BlockType kQ2_0{"Q2_0", 42, 41, 64, 18, -1, 2, true, encode_q2_0};
const BlockType kQ4_0{"Q4_0", 2, 2, 32, 18, -8, 7, true, encode_q4_0};
const BlockType kQ8_0{"Q8_0", 8, 7, 32, 34, -128, 127, true, encode_q8_0};

std::string misfit(const StoredTensor& stored, const BlockType& type) {
  const FormatSpec& spec = stored.spec;
  const std::string block =
      std::string("the blocks of ") + type.name + " have " + std::to_string(type.values) + " values";
  if (!spec.symmetric) return std::string(type.name) + " has no zero points";
  const LevelRange range = spec.format->levels(true);
  if (!holds(type, range) && !holds_mirrored(type, range))
    return std::string(type.name) + " has too few levels for " + spec.format->name();
  if (stored.shape[1] % type.values != 0) return block + ", which do not divide " + std::to_string(stored.shape[1]);
  if (spec.granularity == Granularity::kGroup && spec.group_size % type.values != 0)
    return block + " under one scale, and groups are of " + std::to_string(spec.group_size);
  return "";
}

std::uint64_t block_bytes(const std::vector<std::int64_t>& shape, const BlockType& type) {
  return static_cast<std::uint64_t>(shape[0] * (shape[1] / type.values) * type.bytes);
}

at::Tensor encode_blocks(const StoredTensor& stored, const BlockType& type,
                         const std::vector<std::int64_t>& row_order) {
  const bool mirror = !holds(type, stored.spec.format->levels(true));
  at::Tensor levels = unpack_levels(stored).contiguous();
  if (mirror) levels = levels.neg();
  const at::Tensor scales = mirror ? stored.scales.neg() : stored.scales;
  const std::int64_t rows = stored.shape[0], columns = stored.shape[1], blocks = columns / type.values;
  const bool one_scale = stored.spec.granularity == Granularity::kTensor;
  const std::int64_t per_row = one_scale ? 0 : blocks_per_row(columns, stored.spec);
  const std::int64_t group = stored.spec.granularity == Granularity::kGroup ? stored.spec.group_size : columns;
  at::Tensor encoded = at::empty({rows, blocks * type.bytes}, at::kByte);
  const auto* level = levels.const_data_ptr<std::int8_t>();
  const auto* scale = scales.const_data_ptr<c10::Half>();
  auto* out = encoded.mutable_data_ptr<std::uint8_t>();
  const std::int64_t code_bytes = type.bytes - 2;
  for (std::int64_t i = 0; i < rows; ++i) {
    if (i % 1024 == 0) heartbeat::beat();
    const std::int64_t row = row_order.empty() ? i : row_order[static_cast<std::size_t>(i)];
    for (std::int64_t block = 0; block < blocks; ++block, out += type.bytes) {
      type.encode(level + row * columns + block * type.values, out + (type.scale_first ? 2 : 0));
      const std::int64_t index = one_scale ? 0 : row * per_row + block * type.values / group;
      std::memcpy(out + (type.scale_first ? 0 : code_bytes), scale + index, 2);
    }
  }
  return encoded;
}

}  // namespace tercet
