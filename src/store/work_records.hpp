// The bytes of a work log: a header line with the identity, then records
//   uint32 key bytes, uint64 payload bytes (little endian), SHA-256 of both numbers, key and payload (64 hexadecimal
//   digits), key, payload.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace tercet::store {

inline constexpr std::size_t kLargestKey = 4096;

std::string work_header(const std::string& identity);
std::string work_record(std::string_view key, std::string_view payload);

// Calls `use` for each whole record, in order, with views into `file`. Stops at the first that is not whole; false
// then, and when the header is another one.
bool read_work_records(std::string_view file, const std::string& identity,
                       const std::function<void(std::string_view key, std::string_view payload)>& use);

}  // namespace tercet::store
