#include "inventory_text.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "tercet/base/text.hpp"

namespace tercet::job {
namespace {

using nlohmann::json;

std::string dimensions_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text.empty() ? "scalar" : text;
}

std::optional<double> bits_of_weight(std::uint64_t bytes, std::int64_t weights) {
  if (weights == 0) return std::nullopt;
  return 8 * static_cast<double>(bytes) / static_cast<double>(weights);
}

// How many times as many bytes as the file has.
std::optional<double> ratio_of(std::optional<std::uint64_t> bytes, const Inventory& inventory) {
  if (!bytes || inventory.bytes == 0) return std::nullopt;
  return static_cast<double>(*bytes) / static_cast<double>(inventory.bytes);
}

std::uint64_t bytes_at(int bytes_of_weight, const Inventory& inventory) {
  return static_cast<std::uint64_t>(bytes_of_weight * inventory.parameters());
}

json number_or_null(const std::optional<double>& value) {
  return value ? json(*value) : json();
}

json entry_json(const InventoryEntry& entry) {
  json object{{"name", entry.name}, {"format", entry.format}, {"shape", entry.shape}, {"bytes", entry.bytes}};
  if (!entry.role.empty()) object["role"] = entry.role;
  if (!entry.shared_with.empty()) object["shared_with"] = entry.shared_with;
  if (entry.shared_with.empty())
    object["bits_per_weight"] = number_or_null(bits_of_weight(entry.bytes, entry.elements()));
  if (entry.sparsity) object["sparsity"] = *entry.sparsity;
  if (entry.scales) {
    object["scales"] = {{"count", entry.scales->count},
                        {"smallest", entry.scales->smallest},
                        {"largest", entry.scales->largest},
                        {"histogram", entry.scales->buckets}};
  }
  return object;
}

// A character for each bucket, as high as its share of the fullest one; what is not empty can be seen.
std::string bars(const ScaleHistogram& scales) {
  static constexpr const char* kHeights[] = {"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr std::uint64_t kHighest = std::size(kHeights) - 1;
  const std::uint64_t most = *std::max_element(scales.buckets.begin(), scales.buckets.end());
  std::string text;
  for (const std::uint64_t count : scales.buckets)
    text += kHeights[most == 0 ? 0 : (count * kHighest + most - 1) / most];
  return text;
}

std::string scale_text(float scale) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.2e", static_cast<double>(scale));
  return buffer;
}

std::vector<std::string> entry_row(const InventoryEntry& entry) {
  const auto& scales = entry.scales;
  const bool one = scales && scales->smallest == scales->largest;  // there is nothing to draw
  const auto bits = bits_of_weight(entry.bytes, entry.elements());
  return {entry.name,
          entry.format,
          dimensions_text(entry.shape),
          entry.shared_with.empty() ? format_or_dash(bits, 3) : "shared",
          format_count(entry.bytes),
          entry.sparsity ? format_fixed(*entry.sparsity, 3) : "",
          scales ? scale_text(scales->smallest) : "",
          scales && !one ? bars(*scales) : "",
          scales && !one ? scale_text(scales->largest) : ""};
}

std::string ratios_text(const Inventory& inventory, const OriginalBytes& original) {
  const auto of = [&](const std::string& name, std::uint64_t bytes) {
    return name + " (" + format_bytes(bytes) + ") " + format_or_dash(ratio_of(bytes, inventory), 2, "x");
  };
  const std::string text = "ratio to " + of("fp32", bytes_at(4, inventory)) + ", " + of("fp16", bytes_at(2, inventory));
  if (original.bytes) return text + ", " + of("the original file", *original.bytes) + "\n";
  return text + "; none to the original file: " + original.why_unknown + "\n";
}

}  // namespace

json inventory_json(const Inventory& inventory, const OriginalBytes& original) {
  json object = inventory.about;
  object["kind"] = inventory.kind;
  object["bytes"] = inventory.bytes;
  object["parameters"] = inventory.parameters();
  object["bits_per_weight"] = number_or_null(bits_of_weight(inventory.bytes, inventory.parameters()));
  object["ratio_fp32"] = number_or_null(ratio_of(bytes_at(4, inventory), inventory));
  object["ratio_fp16"] = number_or_null(ratio_of(bytes_at(2, inventory), inventory));
  object["ratio_file"] = number_or_null(ratio_of(original.bytes, inventory));
  object["original_bytes"] = original.bytes ? json(*original.bytes) : json();
  object["tensors"] = json::array();
  for (const InventoryEntry& entry : inventory.entries) object["tensors"].push_back(entry_json(entry));
  return object;
}

std::string inventory_text(const Inventory& inventory, const OriginalBytes& original,
                           const std::filesystem::path& path) {
  const auto parameters = static_cast<std::uint64_t>(inventory.parameters());
  const auto bits = bits_of_weight(inventory.bytes, inventory.parameters());
  std::vector<std::vector<std::string>> rows{
      {"tensor", "format", "shape", "bits/weight", "bytes", "zeros", "|scale| from", "in 8 steps", "to"}};
  bool has_scales = false;
  for (const InventoryEntry& entry : inventory.entries) {
    rows.push_back(entry_row(entry));
    has_scales = has_scales || entry.scales;
  }
  if (!has_scales) {
    for (auto& row : rows) row.resize(5);  // plain weights have neither levels nor scales
  }
  return inventory.title + ", " + format_count(parameters) + " parameters, " + format_bytes(inventory.bytes) + ", " +
         format_or_dash(bits, 3) + " bits a weight, in '" + path.string() + "'\n" + ratios_text(inventory, original) +
         "\n" + format_table(rows);
}

}  // namespace tercet::job
