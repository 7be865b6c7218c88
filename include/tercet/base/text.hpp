// Small text helpers shared by messages, tables and reports.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tercet {

std::string format_bytes(std::uint64_t bytes);       // "12.3 MB" (powers of 1000)
std::string format_duration(double seconds);         // "3.2 s", "4 min 05 s", "2 h 03 min"
std::string format_fixed(double value, int digits);  // "0.352"; "nan" and "inf" as words
// "0.352x" with the unit "x"; "-" where there is no value.
std::string format_or_dash(const std::optional<double>& value, int digits, const char* unit = "");
std::string format_count(std::uint64_t count);  // "2 828 736" with thin grouping by spaces

// The candidate with the smallest edit distance to `word`, or "" if none is near (distance > 1 + length / 3).
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates);

// Columns aligned by spaces; the first row is the heading, underlined. Numbers (as text) align right.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace tercet
