// How the speed of a model is written down and read again.
#include "tercet/base/strict_json.hpp"
#include "tercet/report/results.hpp"
#include "tercet/store/number_json.hpp"

namespace tercet {
namespace {

using nlohmann::json;

json to_json(const DecodeRate& rate) {
  return {{"median", number_to_json(rate.median)},
          {"slowest", number_to_json(rate.slowest)},
          {"fastest", number_to_json(rate.fastest)},
          {"bytes_per_token", rate.bytes_per_token}};
}

std::uint64_t whole_number(const json& object, const char* key) {
  return static_cast<std::uint64_t>(json_integer(object.at(key), key, "the speed", 0));
}

DecodeRate rate_from_json(const json& object) {
  return {number_from_json(object.at("median")), number_from_json(object.at("slowest")),
          number_from_json(object.at("fastest")), whole_number(object, "bytes_per_token")};
}

json speedup_json(const DecodeSpeed& speed, const char* form) {
  const auto ratio = speed.speedup(form);
  return ratio ? json(*ratio) : json();
}

}  // namespace

json to_json(const DecodeSpeed& speed) {
  if (!speed.refusal.empty()) return {{"refusal", speed.refusal}};
  return {{"packed", to_json(speed.packed)},
          {"fp32", to_json(speed.fp32)},
          {"bf16", to_json(speed.bf16)},
          {"speedup", {{"fp32", speedup_json(speed, "fp32")}, {"bf16", speedup_json(speed, "bf16")}}},
          {"rounds", speed.rounds},
          {"prompt_tokens", speed.prompt_tokens},
          {"new_tokens", speed.new_tokens},
          {"device", speed.device},
          {"processor", speed.processor},
          {"instruction_set", speed.instruction_set},
          {"threads", speed.threads},
          {"last_level_cache_bytes", speed.last_level_cache}};
}

DecodeSpeed speed_from_json(const json& object) {
  DecodeSpeed speed;
  if (object.contains("refusal")) {
    speed.refusal = object.at("refusal");
    return speed;
  }
  speed.packed = rate_from_json(object.at("packed"));
  speed.fp32 = rate_from_json(object.at("fp32"));
  speed.bf16 = rate_from_json(object.at("bf16"));
  speed.rounds = static_cast<std::int64_t>(whole_number(object, "rounds"));
  speed.prompt_tokens = static_cast<std::int64_t>(whole_number(object, "prompt_tokens"));
  speed.new_tokens = static_cast<std::int64_t>(whole_number(object, "new_tokens"));
  speed.device = object.at("device");
  speed.processor = object.at("processor");
  speed.instruction_set = object.at("instruction_set");
  speed.threads = static_cast<int>(json_integer(object.at("threads"), "threads", "the speed", 0, 1 << 20));
  speed.last_level_cache = whole_number(object, "last_level_cache_bytes");
  return speed;
}

}  // namespace tercet
