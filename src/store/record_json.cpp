#include "tercet/store/record_json.hpp"

#include "store/records.hpp"

namespace tercet {

nlohmann::json table_to_json(const std::vector<LayerRecord>& table) {
  return store::to_json_table(table);
}
nlohmann::json table_to_json(const std::vector<GateRecord>& table) {
  return store::to_json_table(table);
}

std::vector<LayerRecord> layers_from_json(const nlohmann::json& table) {
  return store::from_json_table<LayerRecord>(table);
}
std::vector<GateRecord> gates_from_json(const nlohmann::json& table) {
  return store::from_json_table<GateRecord>(table);
}

}  // namespace tercet
