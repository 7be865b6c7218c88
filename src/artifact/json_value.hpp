// JSON as plain values of a PyTorch file, and back: in Python a nested dict, not a string to parse.
#pragma once

#include <nlohmann/json.hpp>

#include "tercet/model_io/torch_file.hpp"

namespace tercet {

TorchValue to_torch(const nlohmann::ordered_json& json);
nlohmann::ordered_json to_json(const TorchValue& value, const std::string& where);  // DataError for a tensor

}  // namespace tercet
