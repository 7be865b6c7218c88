#include "json_value.hpp"

#include <type_traits>

#include "tercet/base/error.hpp"

namespace tercet {

using nlohmann::ordered_json;

TorchValue to_torch(const ordered_json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX) return json.get<double>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    TorchList list;
    for (const auto& item : json) list.push_back(to_torch(item));
    return list;
  }
  if (json.is_object()) {
    TorchDict dict;
    for (const auto& [key, item] : json.items()) dict.emplace_back(key, to_torch(item));
    return dict;
  }
  return std::monostate{};
}

ordered_json to_json(const TorchValue& value, const std::string& where) {
  return std::visit(
      [&where](const auto& held) -> ordered_json {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<Held, at::Tensor>) {
          throw DataError("'" + where + "' holds a tensor among its settings");
        } else if constexpr (std::is_same_v<Held, TorchList>) {
          ordered_json list = ordered_json::array();
          for (const auto& item : held) list.push_back(to_json(item, where));
          return list;
        } else if constexpr (std::is_same_v<Held, TorchDict>) {
          ordered_json object = ordered_json::object();
          for (const auto& [key, item] : held) object[key] = to_json(item, where);
          return object;
        } else {
          return held;
        }
      },
      static_cast<const TorchValue::variant&>(value));
}

}  // namespace tercet
