// Inventories of one model in all its formats agree with each other.
#include "tercet/artifact/inventory.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "artifact/inventory_parts.hpp"
#include "export_models.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"

namespace tercet {
namespace {

using test::llama_json;
using test::packed_of;
using test::ScratchFolder;
using test::spec_of;

std::map<std::string, InventoryEntry> by_name(const Inventory& inventory) {
  std::map<std::string, InventoryEntry> entries;
  for (const InventoryEntry& entry : inventory.entries) entries.emplace(entry.name, entry);
  return entries;
}

void expect_same(const InventoryEntry& found, const InventoryEntry& packed, const std::string& what) {
  ASSERT_TRUE(found.sparsity && found.scales && packed.sparsity && packed.scales) << what;
  EXPECT_EQ(found.shape, packed.shape) << what;
  EXPECT_EQ(*found.sparsity, *packed.sparsity) << what;
  EXPECT_EQ(std::accumulate(found.scales->buckets.begin(), found.scales->buckets.end(), std::uint64_t{0}),
            found.scales->count);
  if (packed.scales->largest == 0) return;  // an all-zero matrix takes any scale
  EXPECT_FLOAT_EQ(found.scales->smallest, packed.scales->smallest) << what;
  EXPECT_FLOAT_EQ(found.scales->largest, packed.scales->largest) << what;
}

TEST(Inventory, OfEveryExportIsThatOfThePackedFile) {
  for (const test::ExportCase& each : test::export_cases()) {
    const ScratchFolder folder;
    test::write_exports(folder.path(), each.model, each.formats);
    const Inventory packed = take_inventory(folder / "bitnet_quantized_model.pt");
    const auto ours = by_name(packed);
    std::vector<std::string> places{"hf", "bitnet_dequantized_fp16.pt"};
    for (const std::string& format : each.formats) places.push_back(export_format(format).place());
    for (const std::string& place : places) {
      const Inventory inventory = take_inventory(folder / place);
      EXPECT_EQ(inventory.parameters(), packed.parameters()) << each.name << " " << place;
      std::uint64_t bytes = 0;
      for (const InventoryEntry& entry : inventory.entries) {
        bytes += entry.bytes;
        if (entry.sparsity && inventory.kind != "gguf")
          expect_same(entry, ours.at(entry.name), each.name + " " + place + " " + entry.name);
      }
      EXPECT_LE(bytes, inventory.bytes) << each.name << " " << place;
    }
  }
}

TEST(Inventory, OfEveryTypeOfGgufBlocksHasTheSameZerosAndScales) {
  struct Case {
    const char *format, *setting, *type;
  };
  for (const auto& [format, setting, type] :
       {Case{"ternary", "tq1_0", "TQ1_0"}, Case{"ternary", "tq2_0", "TQ2_0"}, Case{"ternary", "q2_0", "Q2_0"},
        Case{"int2", "auto", "Q2_0"}, Case{"int4", "auto", "Q4_0"}, Case{"int8", "auto", "Q8_0"}}) {
    const ScratchFolder folder;
    ExportSettings settings;
    settings.gguf_type = setting;
    const PackedModel model = packed_of(llama_json(256, 512, false), spec_of(format, Granularity::kChannel));
    test::write_exports(folder.path(), model, {"gguf"}, settings);
    const auto packed = by_name(take_inventory(folder / "bitnet_quantized_model.pt"));
    const auto gguf = by_name(take_inventory(folder / "model.gguf"));
    EXPECT_EQ(gguf.at("blk.1.ffn_up.weight").format, type);
    expect_same(gguf.at("blk.1.ffn_up.weight"), packed.at("model.layers.1.mlp.up_proj.weight"), type);
  }
}

TEST(Inventory, CountsScalesInBucketsOfEqualWidth) {
  const ScaleHistogram histogram =
      histogram_of(at::arange(0, 17, at::kFloat).mul(-1), "m", "file");  // 0 to 16: magnitudes
  EXPECT_EQ(histogram.buckets, (std::array<std::uint64_t, 8>{2, 2, 2, 2, 2, 2, 2, 3}));
  EXPECT_EQ((std::pair{histogram.smallest, histogram.largest}), (std::pair{0.0F, 16.0F}));
  EXPECT_EQ(histogram_of(at::full({5}, 2.0), "m", "file").buckets[0], 5);
  EXPECT_MENTIONS(test::message_of<DataError>([] { histogram_of(at::full({2}, INFINITY), "m", "file"); }), "'m'");
}

}  // namespace
}  // namespace tercet
