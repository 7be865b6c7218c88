// What `tercet inspect` shows of a model: as text for people and as JSON.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tercet/artifact/inventory.hpp"

namespace tercet::job {

// Of the weight files of the model that an artifact was made of.
struct OriginalBytes {
  std::optional<std::uint64_t> bytes;
  std::string why_unknown;
};

nlohmann::json inventory_json(const Inventory& inventory, const OriginalBytes& original);
std::string inventory_text(const Inventory& inventory, const OriginalBytes& original,
                           const std::filesystem::path& path);

}  // namespace tercet::job
