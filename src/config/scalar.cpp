#include "config/scalar.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <system_error>

#include "config/print.hpp"
#include "tercet/base/text.hpp"

namespace tercet::config {
namespace {

constexpr std::string_view kDigits = "0123456789";

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Length of the run of digits at `begin`.
std::size_t digit_run(const std::string& text, std::size_t begin) {
  return std::min(text.find_first_not_of(kDigits, begin), text.size()) - begin;
}

struct NumberShape {
  bool number = false;      // sign, digits, fraction, exponent, in that order, and nothing else
  bool whole_form = false;  // digits only
  bool leading_zero = false;
};

NumberShape shape_of(const std::string& text) {
  NumberShape shape;
  std::size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const std::size_t whole = digit_run(text, at);
  shape.leading_zero = whole > 1 && text[at] == '0';
  at += whole;
  std::size_t fraction = 0;
  shape.whole_form = at == text.size();
  if (at < text.size() && text[at] == '.') {
    fraction = digit_run(text, at + 1);
    at += 1 + fraction;
  }
  if (whole + fraction == 0) return {};
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    const std::size_t exponent = digit_run(text, at);
    if (exponent == 0) return {};
    at += exponent;
  }
  shape.number = at == text.size();
  return shape;
}

bool is_non_finite_word(const std::string& text) {
  std::string word = lower_case(text);
  word.erase(0, word.find_first_not_of("+-"));
  return word == "nan" || word == ".nan" || word == "inf" || word == ".inf" || word == "infinity";
}

// Why a text that is not a plain decimal number was refused; the usual suspects by name.
std::string number_problem(const YamlNode& node, const NumberShape& shape, const std::string& wanted) {
  const std::string refused = "must be " + wanted + ", not " + describe(node);
  if (node.kind != YamlNode::Kind::kScalar) return refused;
  if (node.quoted) return refused + "; write it without quotes";
  if (is_non_finite_word(node.text)) return "must be finite, not " + describe(node);
  if (shape.number && shape.leading_zero) return describe(node) + " looks octal; write it without leading zeros";
  const std::string lower = lower_case(node.text);
  if (lower.starts_with("0x") || lower.starts_with("0o")) return refused + "; write it in decimal";
  if (lower.find('_') != std::string::npos && lower.find_first_not_of("0123456789_") == std::string::npos) {
    return refused + "; write the digits without separators";
  }
  return refused;
}

bool is_plain_number(const YamlNode& node, const NumberShape& shape) {
  return node.kind == YamlNode::Kind::kScalar && !node.quoted && shape.number && !shape.leading_zero;
}

std::string limit_problem(const Limits& limits, double value, const std::string& shown) {
  const bool low = limits.low_allowed ? value >= limits.low : value > limits.low;
  const bool high = limits.high_allowed ? value <= limits.high : value < limits.high;
  const bool multiple = limits.multiple_of == 1 || std::fmod(value, static_cast<double>(limits.multiple_of)) == 0;
  return low && high && multiple ? "" : "must be " + allowed(limits) + ", not " + shown;
}

std::string choice_problem(const Limits& limits, const std::string& value, const std::string& shown) {
  if (limits.choices.empty()) return "";
  const std::vector<std::string> choices = split_choices(limits.choices);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return "";
  const bool word = !value.empty() && value.size() < 64 && std::isalpha(static_cast<unsigned char>(value[0])) != 0;
  const std::string near = word ? nearest_word(lower_case(value), choices) : "";  // no number resembles another
  return "must be " + allowed(limits) + ", not " + shown + (near.empty() ? "" : "; did you mean '" + near + "'?");
}

// from_chars knows no plus sign.
std::string_view without_plus(const std::string& text) {
  return std::string_view(text).substr(text.starts_with('+') ? 1 : 0);
}

std::string parse_double(const YamlNode& node, double& out) {
  const std::string_view text = without_plus(node.text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc::result_out_of_range) return describe(node) + " is beyond what a number can hold";
  return error == std::errc{} && end == text.data() + text.size() ? "" : "must be a number, not " + describe(node);
}

std::string parse_scientific_integer(const YamlNode& node, std::int64_t& out) {
  constexpr double kExactIntegers = 9007199254740992.0;  // 2^53
  double value = 0;
  if (std::string problem = parse_double(node, value); !problem.empty()) return problem;
  if (value != std::floor(value)) return "must be a whole number, not " + describe(node);
  if (std::abs(value) > kExactIntegers)
    return describe(node) + " is too large to be exact in this form; write the digits";
  out = static_cast<std::int64_t>(value);
  return "";
}

std::string parse_integer(const YamlNode& node, const NumberShape& shape, std::int64_t& out) {
  if (!shape.whole_form) return parse_scientific_integer(node, out);
  const std::string_view text = without_plus(node.text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} ? "" : describe(node) + " does not fit into 64 bits";
}

}  // namespace

std::string read_scalar(const YamlNode& node, const Limits&, bool& out) {
  const bool plain = node.kind == YamlNode::Kind::kScalar && !node.quoted;
  if (!plain || (node.text != "true" && node.text != "false")) {
    return "must be true or false, not " + describe(node) + (node.quoted ? "; write it without quotes" : "");
  }
  out = node.text == "true";
  return "";
}

std::string read_scalar(const YamlNode& node, const Limits& limits, std::int64_t& out) {
  const NumberShape shape = shape_of(node.text);
  if (!is_plain_number(node, shape)) return number_problem(node, shape, "a whole number");
  std::int64_t value = 0;
  std::string problem = parse_integer(node, shape, value);
  if (problem.empty()) problem = choice_problem(limits, std::to_string(value), describe(node));
  if (problem.empty()) problem = limit_problem(limits, static_cast<double>(value), node.text);
  if (problem.empty()) out = value;
  return problem;
}

std::string read_scalar(const YamlNode& node, const Limits& limits, double& out) {
  const NumberShape shape = shape_of(node.text);
  if (!is_plain_number(node, shape)) return number_problem(node, shape, "a number");
  double value = 0;
  std::string problem = parse_double(node, value);
  if (problem.empty()) problem = limit_problem(limits, value, node.text);
  if (problem.empty()) out = value;
  return problem;
}

std::string read_scalar(const YamlNode& node, const Limits& limits, std::string& out) {
  if (node.kind != YamlNode::Kind::kScalar) return "must be one text, not " + describe(node);
  if (node.text.find('\0') != std::string::npos) return "must not contain a zero byte";
  if (std::string problem = choice_problem(limits, node.text, describe(node)); !problem.empty()) return problem;
  if (limits.path && node.text.starts_with("~")) {
    return "'~' is not expanded in a configuration; write the whole path";
  }
  out = node.text;
  return "";
}

std::string read_scalar(const YamlNode& node, const Limits& limits, std::optional<std::int64_t>& out) {
  if (node.kind == YamlNode::Kind::kNull) {
    out.reset();
    return "";
  }
  std::int64_t value = 0;
  std::string problem = read_scalar(node, limits, value);
  if (problem.empty()) out = value;
  return problem;
}

}  // namespace tercet::config
