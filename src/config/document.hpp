// A YAML text as a plain tree that keeps what a strict reader needs and yaml-cpp's own nodes lose: every key (also a
// second one of the same name), whether a scalar was quoted, and where everything stands.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace tercet::config {

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap, kUnsupported };
  Kind kind = Kind::kNull;
  std::string text;             // of a scalar; why, of an unsupported node
  bool quoted = false;          // scalar in quotes or a block scalar: never a number
  int line = 0, column = 0;     // from 1; 0: unknown
  std::vector<YamlNode> items;  // list: the elements; map: key, value, key, value, ...
};

std::string describe(const YamlNode& node);  // "a list", "text in quotes", "'abc'", for messages

class YamlSyntaxError : public std::runtime_error {
 public:
  YamlSyntaxError(const std::string& problem, int at_line, int at_column)
      : std::runtime_error(problem), line(at_line), column(at_column) {}
  int line, column;
};

// The text of a configuration file, at most 1 MB. Throws ConfigError: one that cannot be read is a mistake on the
// command line (exit code 64), not lost storage.
std::string read_config_text(const std::filesystem::path& file);

// Throws YamlSyntaxError for text that is not YAML, is nested deeper than 16 levels, or holds a second document.
// Aliases and explicit tags become kUnsupported nodes. An empty text is a null node.
YamlNode parse_yaml(const std::string& text);

}  // namespace tercet::config
