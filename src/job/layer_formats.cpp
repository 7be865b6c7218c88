#include "layer_formats.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>
#include <set>

#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet::job {
namespace {

FormatSpec block_format(const QuantizationSection& settings) {
  if (settings.format == "float16") return {};
  return {number_format(settings.format), granularity(settings.granularity), settings.group_size,
          scale_rule(settings.rule), settings.symmetric};
}

// Eight bits are enough for the whole range of a row; fewer take the best part of a group's.
FormatSpec table_format_named(const std::string& format, std::int64_t group_size) {
  if (format == "float16") return {};
  if (format == "int8") return {number_format("int8"), Granularity::kChannel, 0, ScaleRule::kMinMax};
  return {number_format(format), Granularity::kGroup, group_size, ScaleRule::kCalibrated};
}

std::string format_of_bits(const std::string& bits) {
  if (bits == "16") return "float16";
  return bits == "ternary" ? bits : "int" + bits;
}

// The part of a pattern that names something: its longest run without wildcards and dots at its ends.
std::string core_of(const std::string& pattern) {
  std::string core;
  for (std::size_t begin = 0; begin < pattern.size();) {
    const std::size_t end = std::min(pattern.find_first_of("*?", begin), pattern.size());
    std::string run = pattern.substr(begin, end - begin);
    run.erase(0, std::min(run.find_first_not_of('.'), run.size()));
    while (!run.empty() && run.back() == '.') run.pop_back();
    if (run.size() > core.size()) core = run;
    begin = end + 1;
  }
  return core;
}

// Runs of whole parts of a dotted name: "a.b.c" has a, b, c, a.b, b.c, a.b.c.
void add_pieces(const std::string& name, std::set<std::string>& pieces) {
  for (std::size_t begin = 0; begin < name.size();) {
    for (std::size_t end = name.find('.', begin);; end = name.find('.', end + 1)) {
      pieces.insert(name.substr(begin, end == std::string::npos ? end : end - begin));
      if (end == std::string::npos) break;
    }
    const std::size_t dot = name.find('.', begin);
    begin = dot == std::string::npos ? name.size() : dot + 1;
  }
}

}  // namespace

std::string near_names(const std::string& pattern, const std::vector<std::string>& matrices) {
  constexpr int kShown = 3;
  std::set<std::string> pieces;
  for (const std::string& name : matrices) add_pieces(name, pieces);
  const std::string near = nearest_word(core_of(pattern), {pieces.begin(), pieces.end()});
  std::string text;
  int shown = 0;
  for (const std::string& name : matrices) {
    const bool fits = !near.empty() && ("." + name + ".").find("." + near + ".") != std::string::npos;
    if (fits && shown++ < kShown) text += (text.empty() ? "'" : ", '") + name + "'";
  }
  return text.empty() ? "names look like '" + matrices.back() + "'" : "near it are " + text;
}

std::int64_t nearest_divisor(std::int64_t width, std::int64_t wanted) {
  std::int64_t nearest = 0;
  for (std::int64_t group = 8; group <= width; group += 4) {
    if (width % group == 0 && (nearest == 0 || std::abs(group - wanted) < std::abs(nearest - wanted))) nearest = group;
  }
  return nearest;
}

bool is_table(Role role) {
  return role == Role::kEmbedding || role == Role::kHead;
}

FormatSpec table_format(const std::string& bits, std::int64_t group_size) {
  return table_format_named(format_of_bits(bits), group_size);
}

ChosenFormat usual_format(const QuantizationSection& settings, const Parameter& parameter) {
  if (is_block_linear(parameter.role)) return {block_format(settings), "quantization.group_size"};
  if (!is_table(parameter.role)) return {};
  const std::string& bits = parameter.role == Role::kEmbedding ? settings.embedding_bits : settings.head_bits;
  return {table_format(bits, settings.table_group_size), "quantization.table_group_size"};
}

ChosenFormat format_by_row(const QuantizationSection& settings, const LayerFormat& row, const std::string& key,
                           const Parameter& parameter) {
  const bool table = is_table(parameter.role);
  const std::string common = table ? "quantization.table_group_size" : "quantization.group_size";
  const std::string group_key = row.group_size ? key + ".group_size" : common;
  if (!table) return {block_format(as_for(settings, row)), group_key};
  const std::string& bits = parameter.role == Role::kEmbedding ? settings.embedding_bits : settings.head_bits;
  const std::string format = row.format.empty() ? format_of_bits(bits) : row.format;
  FormatSpec spec = table_format_named(format, row.group_size.value_or(settings.table_group_size));
  if (!spec.format->is_grid()) return {spec, group_key};
  if (row.group_size) {
    spec.granularity = Granularity::kGroup;
    spec.group_size = *row.group_size;
  }
  if (!row.granularity.empty()) spec.granularity = granularity(row.granularity);
  if (!row.rule.empty()) spec.rule = scale_rule(row.rule);
  if (!row.symmetric.empty()) spec.symmetric = row.symmetric == "true";
  return {spec, group_key};
}

bool matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

bool names(const LayerFormat& row, const Parameter& parameter) {
  if (row.match.empty() && row.role.empty()) return is_block_linear(parameter.role);
  if (!is_block_linear(parameter.role) && !is_table(parameter.role)) return false;
  return (row.match.empty() || matches(row.match, parameter.name)) &&
         (row.role.empty() || row.role == to_string(parameter.role));
}

void check_names(const std::string& key, const std::vector<LayerFormat>& rows,
                 const std::vector<Parameter>& parameters) {
  std::vector<std::string> matrices, roles;
  for (const Parameter& parameter : parameters) {
    if (!is_block_linear(parameter.role) && !is_table(parameter.role)) continue;
    matrices.push_back(parameter.name);
    const std::string role = to_string(parameter.role);
    if (std::find(roles.begin(), roles.end(), role) == roles.end()) roles.push_back(role);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (std::any_of(parameters.begin(), parameters.end(), [&](const Parameter& p) { return names(rows[i], p); }))
      continue;
    const std::string item = key + "[" + std::to_string(i) + "]";
    if (std::find(roles.begin(), roles.end(), rows[i].role) == roles.end() && !rows[i].role.empty()) {
      std::string known;
      for (const std::string& role : roles) known += (known.empty() ? "" : ", ") + role;
      throw ConfigError(item + ": this model has no matrix of the role '" + rows[i].role + "'", "", "it has " + known);
    }
    throw ConfigError(item + ": '" + rows[i].match + "' matches no matrix" +
                          (rows[i].role.empty() ? "" : " of the role '" + rows[i].role + "'"),
                      near_names(rows[i].match, matrices), "'*' and '?' are wildcards");
  }
}

std::vector<std::int64_t> output_first_shape(const Parameter& parameter) {
  std::vector<std::int64_t> shape = parameter.value.sizes().vec();
  if (parameter.input_first) std::reverse(shape.begin(), shape.end());
  return shape;
}

// The hint fits all parameters that share the setting.
void check_groups(const std::vector<ChosenFormat>& formats, const std::vector<Parameter>& parameters) {
  struct Setting {
    std::int64_t common = 0, size = 0;
    std::string misfit;
    bool table = false;
  };
  std::map<std::string, Setting> settings;
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const FormatSpec& spec = formats[i].spec;
    if (!spec.format->is_grid() || spec.format->takes_short_groups() || spec.granularity != Granularity::kGroup)
      continue;
    const std::int64_t width = output_first_shape(parameters[i])[1];
    Setting& setting = settings[formats[i].group_key];
    setting.common = std::gcd(setting.common, width);
    setting.size = spec.group_size;
    setting.table = is_table(parameters[i].role);
    if (width % spec.group_size != 0 && setting.misfit.empty())
      setting.misfit = std::to_string(width) + " inputs of '" + parameters[i].name + "'";
  }
  for (const auto& [key, setting] : settings) {
    if (setting.misfit.empty()) continue;
    const std::int64_t works = nearest_divisor(setting.common, setting.size);
    const std::string otherwise = setting.table ? "8 or 16 bits work" : "quantization.granularity: channel works";
    throw ConfigError(key + ": " + std::to_string(setting.size) + " does not divide the " + setting.misfit,
                      "integers have no short groups",
                      works == 0 ? otherwise : std::to_string(works) + " divides every width");
  }
}

std::string short_name(const FormatSpec& spec, const FormatSpec& usual) {
  std::string text = spec.format->name();
  if (!spec.format->is_grid()) return text;
  if (!spec.symmetric) text += " asymmetric";
  const bool by_group = spec.granularity == Granularity::kGroup;
  const bool as_usual = spec.granularity == usual.granularity && (!by_group || spec.group_size == usual.group_size);
  if (!as_usual) text += " by " + (by_group ? std::to_string(spec.group_size) : to_string(spec.granularity));
  return text;
}

}  // namespace tercet::job
