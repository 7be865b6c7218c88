// docs/config.md from the schema table.
#include <algorithm>

#include "config/family_schema.hpp"
#include "config/print.hpp"
#include "config/study_schema.hpp"

namespace tercet {
namespace config {
namespace {

constexpr const char* kIntroduction =
    "# Configuration\n"
    "\n"
    "<!-- Made from src/config/schema.cpp. Write it again with: TERCET_UPDATE_DOCS=1 build/release/tests/test_config "
    "-->\n"
    "\n"
    "A job is one YAML file. Every key has a default, so a file names only what it changes; `configs/ternary.yaml` is\n"
    "a commented start. `--set a.b=c` overrides any key from the command line (`--set data.sources='[a.txt, "
    "b.txt]'`);\n"
    "of several for one key, the last one counts.\n"
    "\n"
    "- All mistakes are reported at once, each with file, line, column and the nearest valid key.\n"
    "- Unknown keys and keys given twice are refused. Numbers are decimal and finite (`010`, `0x10` and `.nan` are\n"
    "  refused; `2e6` is fine), and the only truth values are `true` and `false`.\n"
    "- Relative paths start from the folder of the file; in `--set`, from the current folder.\n"
    "- Keys marked with * cannot change a result: a job may go on with other values of these. Those marked with + may\n"
    "  change in a started run when `--allow-changed KEY` says so: they are checked by content, come after everything\n"
    "  that was computed, or change figures by rounding only. With another value of any other key a run is refused.\n"
    "- The configuration with everything filled in is written into the run folder and can be used again.\n";

// A vertical bar would end the cell.
std::string cell(std::string_view text) {
  std::string escaped;
  for (char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
  return escaped;
}

std::string default_of(const std::string& printed) {
  if (printed == "null" || printed == "\"\"" || printed == "[]") return "";
  return "`" + printed + "`";
}

template <class Owner>
std::string table_row(const Row<Owner>& row, const Owner& defaults) {
  const std::string value = with_field(row, defaults, [](const auto& field) { return print_value(field); });
  std::string type = type_name(row);
  if (const std::string words = allowed(row.limits); !words.empty()) {
    const bool list = std::holds_alternative<std::vector<std::string>& (*)(Owner&)>(row.field);
    type = row.limits.choices.empty() ? type + ", " + words : list ? "list of " + words : words;
  }
  const std::string mark = row.effect == Effect::kResults ? "" : row.effect == Effect::kChecked ? " +" : " *";
  return "| `" + std::string(row.key) + "`" + mark + " | " + cell(type) + " | " + std::string(row.unit) + " | " +
         default_of(value) + " | " + cell(row.sentence) + " |\n";
}

constexpr const char* kTableHead = "| key | value | unit | default | what it does |\n|---|---|---|---|---|\n";

bool lies_in(std::string_view key, std::string_view section) {
  return key.starts_with(section) && key.size() > section.size() && key[section.size()] == '.';
}

std::string top_table() {
  std::string text = kTableHead;
  for (const auto& row : job_rows()) {
    if (row.key.find('.') == std::string_view::npos) text += table_row(row, JobConfig{});
  }
  return text;
}

std::string section_table(const SectionRow& section) {
  std::string text = "\n## " + std::string(section.key) + "\n" + std::string(section.sentence) + "\n";
  for (const SectionRow& part : sections()) {
    if (lies_in(part.key, section.key))
      text += "- `" + std::string(part.key) + "`: " + std::string(part.sentence) + "\n";
  }
  text += std::string("\n") + kTableHead;
  for (const auto& row : job_rows()) {
    if (lies_in(row.key, section.key)) text += table_row(row, JobConfig{});
  }
  return text;
}

template <class Owner>
std::string rows_table(std::span<const Row<Owner>> rows) {
  std::string text = std::string("\n") + kTableHead;
  for (const auto& row : rows) text += table_row(row, Owner{});
  return text;
}

constexpr const char* kFamilyIntroduction =
    "\n# Families\n\n"
    "The file of `tercet family` ([families.md](families.md)), read by the same rules; `configs/family.yaml` is a "
    "commented\nstart. Every pair of a model and a target is an element: a job whose keys are laid over each other in "
    "this "
    "order.\n";

std::string family_reference() {
  std::string text = kFamilyIntroduction + std::string("\n");
  for (const SectionRow& part : family_settings()) {
    text += "- `" + std::string(part.key) + "`: " + std::string(part.sentence) + "\n";
  }
  text += rows_table(family_rows());
  text += "\nSections:\n\n";
  for (const SectionRow& part : family_sections()) {
    text += "- `" + std::string(part.key) + "`: " + std::string(part.sentence) + "\n";
  }
  text += "\nAn item of `models` has `settings` and these keys:\n" + rows_table(family_model_rows());
  return text + "\nAn item of `targets` has `settings` and this key:\n" + rows_table(family_target_rows());
}

constexpr const char* kStudyIntroduction =
    "\n# Studies\n\n"
    "The file of `tercet study` ([studies.md](studies.md)), read by the same rules; `configs/studies` has some. Every "
    "pair of a\nrow and a seed is an element: a job whose keys are laid over each other in this order: base, settings, "
    "`--set`, row.\n";

std::string study_reference() {
  std::string text = kStudyIntroduction + std::string("\n");
  for (const SectionRow& part : study_settings()) {
    text += "- `" + std::string(part.key) + "`: " + std::string(part.sentence) + "\n";
  }
  text += rows_table(study_rows());
  text += "\nSections:\n\n";
  for (const SectionRow& part : study_sections()) {
    text += "- `" + std::string(part.key) + "`: " + std::string(part.sentence) + "\n";
  }
  return text;
}

}  // namespace
}  // namespace config

std::string config_reference() {
  std::string text = std::string(config::kIntroduction) + "\n" + config::top_table();
  for (const config::SectionRow& section : config::sections()) {
    if (section.key.find('.') != std::string_view::npos) continue;
    text += config::section_table(section);
    if (section.key == "data") {
      text += "\nAn item of `data.sources` is a path, or these keys:\n" + config::rows_table(config::source_rows());
    }
    if (section.key == "quantization") {
      text += "\nAn item of `quantization.layers` names matrices by one or both of `match` and `role`:\n" +
              config::rows_table(config::layer_rows());
    }
    if (section.key == "evaluation") {
      text += "\nAn item of `evaluation.tasks` has these keys:\n" + config::rows_table(config::task_rows());
    }
  }
  return text + config::family_reference() + config::study_reference();
}

}  // namespace tercet
