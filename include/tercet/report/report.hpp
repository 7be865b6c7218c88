// What a person sees of a run: the table at its end, and `tercet report RUN`.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tercet/report/results.hpp"
#include "tercet/report/run_view.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet {

// Rows size, ratios, perplexity, accuracy, agreement, sparsity, checks; columns before, quantized, packed, gate.
std::string results_table(const RunResults& results, const std::vector<GateRecord>& gates);
std::vector<std::vector<std::string>> results_rows(const RunResults& results, const std::vector<GateRecord>& gates);
// One line per gate: verdict, name, evidence.
std::string gates_text(const std::vector<GateRecord>& gates);

// run.h5, or the journal when run.h5 is absent or cannot be read. Throws StoreError when neither can, with a hint.
RunRecord load_run(const std::filesystem::path& run_folder);

// `tercet report RUN` for the terminal and with --json. For --rebuild call rebuild_run_file first.
std::string report_text(const RunView& run);
nlohmann::json report_json(const RunView& run);

}  // namespace tercet
