// Damage that is the same each time: number `index` of the ways to spoil a file.
#pragma once

#include <cstdint>
#include <string>

namespace tercet::fuzz {

std::string damaged(const std::string& whole, std::uint64_t index);

}  // namespace tercet::fuzz
