#include "tercet/base/strict_json.hpp"
#include "target.hpp"

namespace tercet::fuzz {
namespace {

std::vector<std::string> seeds() {
  return {R"({"format": "pt", "list": [1, -2.5, true, null, "\u00e9"], "deep": {"a": {"b": [[]]}}})", "[]",
          std::string(40, '[')};
}

void read(std::string_view input) {
  const nlohmann::json value = parse_strict_json(input, "input");
  const nlohmann::json copy = value;
  (void)copy.dump();
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      (void)key;
      if (member.is_number()) json_integer(member, "member", "input");
    }
  }
}

const Registration kTarget({"strict_json", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
