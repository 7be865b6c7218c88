#include "store/run_layout.hpp"

#include <unistd.h>

#include <chrono>
#include <sstream>
#include <system_error>

#include "store/confined.hpp"
#include "store/journal.hpp"
#include "store/records.hpp"
#include "store/series.hpp"
#include "store/table.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::seconds kReadLimit{60};

}  // namespace

namespace store {
namespace {

void require_format(hid_t file) {
  const std::string what = "cannot read the run file";
  if (read_text_attribute(file, "format") != kRunFormat) throw StoreError(what, "it is no run file of Tercet");
  const std::int64_t version = read_integer_attribute(file, "version");
  if (version != kRunVersion) {
    throw StoreError(what, "its format has version " + std::to_string(version) + ", this program knows " +
                               std::to_string(kRunVersion));
  }
}

nlohmann::json read_provenance(hid_t file) {
  auto all = nlohmann::json::object();
  if (!has_link(file, "provenance")) return all;
  const std::string what = "cannot read the provenance";
  const Handle group = open_group(file, "provenance", what);
  for (const std::string& name : child_names(group.get())) {
    try {
      all[unescape_name(name)] = parse_strict_json(read_text(group.get(), name), name);
    } catch (const DataError& error) {
      throw StoreError(what, error.what());
    }
  }
  return all;
}

RunRecord read_open_file(hid_t file) {
  require_format(file);
  RunRecord run;
  read_all_series(file, run);
  run.layers = read_records<LayerRecord>(file, "layers");
  run.stages = read_records<StageRecord>(file, "stages");
  run.gates = read_records<GateRecord>(file, "gates");
  run.ranks = read_records<RankRecord>(file, "ranks");
  run.attempts = read_records<AttemptRecord>(file, "attempts");
  run.provenance = read_provenance(file);
  return run;
}

void write_all_series(hid_t file, const RunRecord& run) {
  for (std::size_t begin = 0; begin < run.metrics.size();) {
    std::size_t end = begin;
    while (end < run.metrics.size() && run.metrics[end].name == run.metrics[begin].name) ++end;
    const auto from = static_cast<std::ptrdiff_t>(begin), to = static_cast<std::ptrdiff_t>(end);
    Series(file, run.metrics[begin].name, run.metrics[begin].unit)
        .append({run.metrics.begin() + from, run.metrics.begin() + to},
                {run.wall_times.begin() + from, run.wall_times.begin() + to});
    begin = end;
  }
}

void write_run(hid_t file, const RunRecord& run) {
  write_text_attribute(file, "format", kRunFormat);
  write_integer_attribute(file, "version", kRunVersion);
  write_all_series(file, run);
  write_records(file, "layers", run.layers);
  write_records(file, "stages", run.stages);
  write_records(file, "gates", run.gates);
  write_records(file, "ranks", run.ranks);
  write_records(file, "attempts", run.attempts);
  for (const auto& [key, value] : run.provenance.items()) write_provenance(file, key, value);
}

}  // namespace

void write_provenance(hid_t file, const std::string& key, const nlohmann::json& value) {
  write_text(file, "provenance/" + escape_name(key),
             value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void build_run_file(const fs::path& path, const RunRecord& run) {
  const Hdf5Session session;
  const fs::path staged = path.string() + ".tmp-" + std::to_string(::getpid());
  std::error_code error;
  try {
    Handle file = create_file(staged);
    write_run(file.get(), run);
    close_checked(file, "cannot write '" + staged.string() + "'");
    sync_path(staged);
    fs::rename(staged, path, error);
    if (error) throw StoreError("cannot publish '" + path.string() + "'", error.message());
  } catch (...) {
    fs::remove(staged, error);
    throw;
  }
  sync_path(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

RunRecord read_run_file_here(const fs::path& run_h5) {
  const Hdf5Session session;
  return read_open_file(open_file(run_h5, false).get());
}

}  // namespace store

RunRecord read_run_file(const fs::path& run_h5) {
  const store::Hdf5Session session;  // no other thread is inside HDF5 while a process is split off
  try {
    const std::string lines = store::in_own_process(
        [&] {
          store::Hdf5Session::begin_anew_in_child();
          std::string text;
          for (const nlohmann::json& line : store::lines_of(store::read_run_file_here(run_h5))) {
            text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
          }
          return text;
        },
        kReadLimit);
    RunRecord run;
    std::istringstream stream(lines);
    for (std::string line; std::getline(stream, line);) store::apply_line(run, parse_strict_json(line, "a record"));
    order_metrics(run);
    return run;
  } catch (const Error& error) {
    throw StoreError("cannot use '" + run_h5.string() + "'", error.what(),
                     "it can be made again from journal.jsonl: tercet report --rebuild");
  }
}

RunRecord read_journal(const fs::path& journal) {
  RunRecord run;
  store::for_each_journal_line(journal, [&](const nlohmann::json& line) { store::apply_line(run, line); });
  order_metrics(run);
  return run;
}

void rebuild_run_file(const fs::path& folder) {
  const fs::path journal = folder / "journal.jsonl";
  const RunRecord run = read_journal(journal);
  const store::Journal lock(journal);  // replacing the file below a running job would part it from its records
  store::build_run_file(folder / "run.h5", run);
}

}  // namespace tercet
