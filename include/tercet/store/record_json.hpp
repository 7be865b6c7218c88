// Tables of a run as JSON, as the journal has them.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "tercet/store/run_file.hpp"

namespace tercet {

nlohmann::json table_to_json(const std::vector<LayerRecord>& table);
nlohmann::json table_to_json(const std::vector<GateRecord>& table);
// Throw nlohmann::json::exception or DataError when a field is missing or of another type.
std::vector<LayerRecord> layers_from_json(const nlohmann::json& table);
std::vector<GateRecord> gates_from_json(const nlohmann::json& table);

}  // namespace tercet
