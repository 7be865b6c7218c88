// Blocks by hand, from ggml's layouts.
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "artifact/gguf_blocks.hpp"
#include "export_models.hpp"

namespace tercet {
namespace {

using test::spec_of;

// One row of these levels under the scale 0.5.
StoredTensor row_of(at::Tensor levels, const FormatSpec& spec) {
  levels = levels.to(at::kChar).reshape({1, -1});
  return pack({levels, at::full(scale_shape(1, levels.size(1), spec), 0.5, at::kHalf), {}}, spec);
}

std::vector<int> bytes_of(const StoredTensor& stored, const BlockType& type) {
  const at::Tensor encoded = encode_blocks(stored, type, {});
  const auto* bytes = encoded.const_data_ptr<std::uint8_t>();
  return {bytes, bytes + encoded.numel()};
}

const FormatSpec kTrits = spec_of("ternary", Granularity::kChannel);
constexpr int kHalfLow = 0x00, kHalfHigh = 0x38;  // 0.5 in fp16 is 0x3800

TEST(GgufBlocks, Tq2PutsElementsThirtyTwoApartIntoOneByte) {
  at::Tensor levels = at::zeros({256}, at::kInt);
  levels[0] = 1, levels[32] = -1, levels[130] = 1, levels[255] = -1;
  const std::vector<int> bytes = bytes_of(row_of(levels, kTrits), kTq2_0);
  ASSERT_EQ(bytes.size(), 66);
  EXPECT_EQ(bytes[0], 0x52);   // codes 2, 0, 1, 1 from the lowest bits
  EXPECT_EQ(bytes[1], 0x55);   // 1, 1, 1, 1
  EXPECT_EQ(bytes[34], 0x56);  // element 130 is in the second half, at byte 32 + 2
  EXPECT_EQ(bytes[63], 0x15);  // element 255: the highest bits
  EXPECT_EQ(bytes[64], kHalfLow);
  EXPECT_EQ(bytes[65], kHalfHigh);
}

// ceil(V * 256 / 243) of V in base 3: 11111 = 121 -> 128, 21111 = 202 -> 213, 22222 = 242 -> 255, 11110 = 120 -> 127.
TEST(GgufBlocks, Tq1PutsFiveTritsIntoAByteAndFourIntoTheLastOnes) {
  at::Tensor levels = at::zeros({256}, at::kInt);
  levels[0] = 1;
  for (int k = 0; k < 5; ++k) levels[161 + 16 * k] = 1;
  const std::vector<int> bytes = bytes_of(row_of(levels, kTrits), kTq1_0);
  ASSERT_EQ(bytes.size(), 54);
  EXPECT_EQ(bytes[0], 213);
  EXPECT_EQ(bytes[1], 128);
  EXPECT_EQ(bytes[33], 255);
  EXPECT_EQ(bytes[48], 127);
  EXPECT_EQ(bytes[53], kHalfHigh);
}

TEST(GgufBlocks, Q2HasTheScaleFirstAndFourNeighboursInAByte) {
  at::Tensor levels = at::zeros({64}, at::kInt);
  levels[0] = 1, levels[3] = -1;
  const std::vector<int> bytes = bytes_of(row_of(levels, kTrits), kQ2_0);
  ASSERT_EQ(bytes.size(), 18);
  EXPECT_EQ(bytes[1], kHalfHigh);
  EXPECT_EQ(bytes[2], 0x16);  // 2, 1, 1, 0
  EXPECT_EQ(bytes[17], 0x55);
}

// Q2_0 reaches from -1 to 2, int2 from -2 to 1: the same values with both signs turned.
TEST(GgufBlocks, Int2GoesIntoQ2Mirrored) {
  at::Tensor levels = at::zeros({64}, at::kInt);
  levels[0] = -2, levels[1] = 1;
  const std::vector<int> bytes = bytes_of(row_of(levels, spec_of("int2", Granularity::kChannel)), kQ2_0);
  EXPECT_EQ(bytes[1], 0xB8);  // -0.5
  EXPECT_EQ(bytes[2], 0x53);  // (3 - 1) x -0.5 = -2 x 0.5, (0 - 1) x -0.5 = 1 x 0.5
}

TEST(GgufBlocks, Q4PairsElementsSixteenApartAndQ8KeepsBytes) {
  at::Tensor levels = at::zeros({32}, at::kInt);
  levels[0] = -8, levels[16] = 7, levels[31] = 1;
  std::vector<int> bytes = bytes_of(row_of(levels, spec_of("int4", Granularity::kChannel)), kQ4_0);
  ASSERT_EQ(bytes.size(), 18);
  EXPECT_EQ(bytes[2], 0xF0);
  EXPECT_EQ(bytes[17], 0x98);
  levels[0] = -127;
  bytes = bytes_of(row_of(levels, spec_of("int8", Granularity::kChannel)), kQ8_0);
  ASSERT_EQ(bytes.size(), 34);
  EXPECT_EQ(bytes[2], 0x81);
  EXPECT_EQ(bytes[33], 1);
}

TEST(GgufBlocks, EachBlockTakesTheScaleOfItsGroupAndRowsTheOrderAsked) {
  const FormatSpec spec = spec_of("ternary", Granularity::kGroup, 64);
  at::Tensor scales = at::ones({2, 2}, at::kHalf);
  scales[1][1] = 0.5;
  const StoredTensor stored = pack({at::zeros({2, 128}, at::kChar), scales, {}}, spec);
  const at::Tensor encoded = encode_blocks(stored, kQ2_0, {1, 0});
  const auto* bytes = encoded.const_data_ptr<std::uint8_t>();
  EXPECT_EQ(bytes[1], 0x3C);       // 1
  EXPECT_EQ(bytes[18 + 1], 0x38);  // 0.5: row 1 comes first
  EXPECT_EQ(bytes[36 + 1], 0x3C);
}

TEST(GgufBlocks, WhatABlockCannotHoldIsNamed) {
  const auto why = [](const std::string& format, Granularity granularity, std::int64_t group, std::int64_t width,
                      const BlockType& type, bool symmetric = true) {
    return misfit(unfilled({4, width}, spec_of(format, granularity, group, symmetric)), type);
  };
  EXPECT_EQ(why("ternary", Granularity::kTensor, 0, 192, kQ2_0), "");
  EXPECT_EQ(why("ternary5", Granularity::kGroup, 128, 192, kQ2_0), "");  // a short last group of a whole block
  EXPECT_EQ(why("ternary", Granularity::kGroup, 256, 512, kTq2_0), "");
  EXPECT_EQ(why("int3", Granularity::kGroup, 32, 64, kQ4_0), "");
  EXPECT_EQ(why("ternary", Granularity::kTensor, 0, 192, kTq2_0),
            "the blocks of TQ2_0 have 256 values, which do not divide 192");
  EXPECT_EQ(why("ternary", Granularity::kTensor, 0, 172, kQ2_0),
            "the blocks of Q2_0 have 64 values, which do not divide 172");
  EXPECT_EQ(why("int4", Granularity::kGroup, 48, 96, kQ4_0),
            "the blocks of Q4_0 have 32 values under one scale, and groups are of 48");
  EXPECT_EQ(why("int4", Granularity::kGroup, 32, 64, kQ4_0, false), "Q4_0 has no zero points");
  EXPECT_EQ(why("int8", Granularity::kChannel, 0, 64, kQ4_0), "Q4_0 has too few levels for int8");
}

}  // namespace
}  // namespace tercet
