// compressed-tensors/ as the independent check reads it: the words of config.json and the codes, from the documentation
// of "pack-quantized" alone.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tercet::compressed_tensors_check {

// What config.json says of one module.
struct Scheme {
  std::int64_t bits = 0, group_size = 0;  // group_size 0: a scale for each row
  bool symmetric = true;
};

// The schemes whose targets the module is: one, unless something is wrong. `settings` is quantization_config. Both
// throw std::regex_error, and schemes_of also DataError and json::exception, for what cannot be understood.
std::vector<Scheme> schemes_of(const nlohmann::json& settings, const std::string& module);
bool is_ignored(const nlohmann::json& settings, const std::string& module);

// Value number `index` of a stream of `bits` bits each, from the lowest bit of the first word. `stride`: from a word to
// the next one.
std::int64_t code_at(const std::int32_t* words, std::int64_t stride, std::int64_t index, std::int64_t bits);

}  // namespace tercet::compressed_tensors_check
