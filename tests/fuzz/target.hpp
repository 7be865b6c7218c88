// A parser under attack: how to call it, and files that our own writers make to begin with.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tercet::fuzz {

struct Target {
  std::string name;
  std::function<std::vector<std::string>()> seeds;
  // Reads `input`, and uses what came of it as the program would. An Error is a good answer; any other exception, a
  // crash, a finding of a sanitizer, or running out of time or memory is a finding.
  std::function<void(std::string_view input)> read;
  // A library below has faults of its own that damage finds: what broke our side is replayed, but nothing is searched.
  bool searched = true;
};

std::vector<Target>& targets();  // of this program, in the order of linking

struct Registration {
  explicit Registration(Target target) { targets().push_back(std::move(target)); }
};

// Calls target.read and swallows the errors that it may throw.
void attack(const Target& target, std::string_view input);

// A folder of this process that goes away at its end (in memory where the machine has such a place).
const std::filesystem::path& scratch();
// Writes the input there, replacing what was in that file, and gives its path.
std::filesystem::path scratch_file(const std::string& name, std::string_view content);
std::string content_of(const std::filesystem::path& file);

// An input that stands for several files: parts with a line of dashes between them, which no writer of ours makes.
inline constexpr std::string_view kSeparator = "\n-----\n";
std::vector<std::string_view> parts_of(std::string_view input, std::size_t count);  // missing ones are empty
std::string join_parts(const std::vector<std::string>& parts);

}  // namespace tercet::fuzz
