#include "tercet/artifact/export_format.hpp"

#include <algorithm>

#include "export_table.hpp"
#include "tercet/base/error.hpp"

namespace tercet {

const std::vector<const ExportFormat*>& export_formats() {
  static const std::vector<const ExportFormat*> table = {&gguf_export(), &hf_bitnet_export(),
                                                         &compressed_tensors_export(), &kernels_export()};
  return table;
}

const ExportFormat& export_format(const std::string& name) {
  const auto& table = export_formats();
  const auto found = std::find_if(table.begin(), table.end(), [&](const auto* each) { return each->name() == name; });
  if (found != table.end()) return **found;
  std::string known;
  for (const ExportFormat* each : table) known += (known.empty() ? "" : ", ") + each->name();
  throw ConfigError("export.formats: '" + name + "' is not known", "", "known are " + known);
}

std::vector<std::string> export_problems(const std::vector<std::string>& names, const PackedModel& model,
                                         const ExportSettings& settings) {
  std::vector<std::string> problems;
  for (const std::string& name : names) {
    const auto refusal = export_format(name).refusal(model, settings);
    if (!refusal) continue;
    problems.push_back("export.formats: '" + name + "' cannot hold this model (" + refusal->reason + ")" +
                       (refusal->hint.empty() ? "" : "; " + refusal->hint));
  }
  return problems;
}

void check_exports(const std::vector<std::string>& names, const PackedModel& model, const ExportSettings& settings) {
  std::string text;
  for (const std::string& problem : export_problems(names, model, settings))
    text += (text.empty() ? "" : "\n") + problem;
  if (!text.empty()) throw ConfigError(text);
}

}  // namespace tercet
