#include "tercet/store/run_file.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "store/journal.hpp"
#include "store/records.hpp"
#include "store/run_layout.hpp"
#include "store/series.hpp"
#include "store/table.hpp"
#include "tercet/base/error.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

fs::path made_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw StoreError("cannot create run folder '" + folder.string() + "'", error.message(),
                     "choose an output folder that can be written");
  }
  return folder;
}

std::string quoted(const fs::path& path) {
  std::string text(1, '\'');
  return text.append(path.string()).append(1, '\'');
}

std::optional<RunRecord> read_if_sound(const fs::path& run_h5) {
  if (!fs::exists(run_h5)) return std::nullopt;
  try {
    return read_run_file(run_h5);
  } catch (const StoreError& error) {
    log::warn(error.what());
    return std::nullopt;
  }
}

// A damaged file without a journal cannot be made again; it is kept under another name.
void set_aside(const fs::path& run_h5) {
  fs::path kept = run_h5.parent_path() / "damaged-run.h5";
  for (int i = 2; fs::exists(kept); ++i) kept = run_h5.parent_path() / ("damaged-run-" + std::to_string(i) + ".h5");
  fs::rename(run_h5, kept);
  log::warn(quoted(run_h5) + " could not be read and has no journal; it is kept as " + quoted(kept));
}

}  // namespace

struct RunFile::State {
  explicit State(const fs::path& run_folder);
  ~State();

  void begin_attempt();
  void journal_record(nlohmann::json line, double now);
  // Makes a change to run.h5 at once, or at a later record when another thread has HDF5 to itself (a checkpoint makes
  // its file there): whoever records does not wait. The journal has the record already.
  void change(std::function<void()> how);

  fs::path folder;
  store::Journal journal;
  RunRecord known;  // stages, ranks and attempts so far: their tables are written whole
  int attempt = 1;
  std::function<void(const RunRecord&)> listener;
  std::map<std::string, std::string> units;
  store::Handle file;
  std::map<std::string, store::Series> series;

 private:
  void agree_with_journal();
  void make_changes();
  std::deque<std::function<void()>> changes_;  // not yet made
};

RunFile::State::State(const fs::path& run_folder) : folder(made_folder(run_folder)), journal(folder / "journal.jsonl") {
  agree_with_journal();
  if (!known.attempts.empty()) attempt = known.attempts.back().attempt + 1;
  for (const MetricRecord& metric : known.metrics) units.emplace(metric.name, metric.unit);
  known.metrics.clear();
  known.wall_times.clear();
  file = store::open_file(folder / "run.h5", true);
}

RunFile::State::~State() {
  const store::Hdf5Session session;
  try {
    make_changes();
  } catch (const StoreError& error) {
    log::warn_here(error.what());
  }
  series.clear();
  if (file.close() < 0) log::warn_here(quoted(folder / "run.h5") + " could not be closed");
}

// After this run.h5 and the journal hold the same; `known` is what.
void RunFile::State::agree_with_journal() {
  const fs::path run_h5 = folder / "run.h5";
  known = read_journal(folder / "journal.jsonl");
  // An existing run.h5 is only opened where there is nothing else: HDF5 is no parser for files that others may have
  // changed.
  const bool journal_empty = fs::file_size(folder / "journal.jsonl") == 0;
  const auto in_file = journal_empty ? read_if_sound(run_h5) : std::nullopt;
  if (in_file) {
    for (const nlohmann::json& line : store::lines_of(*in_file)) journal.append(line);
    known = *in_file;
    log::warn("the journal of run '" + folder.string() + "' was lost and has been written again from run.h5");
  } else if (journal_empty && fs::exists(run_h5)) {
    set_aside(run_h5);
  }
  store::build_run_file(run_h5, known);
}

void RunFile::State::begin_attempt() {
  const double now = seconds_since_1970();
  journal_record({{"kind", "attempt"}}, now);
  known.attempts.push_back({attempt, now});
  change([this] { store::write_records(file.get(), "attempts", known.attempts); });
}

void RunFile::State::journal_record(nlohmann::json line, double now) {
  line["t"] = now;
  line["attempt"] = attempt;
  journal.append(line);
  if (!listener) return;
  RunRecord news;
  store::apply_line(news, line);
  listener(news);
}

void RunFile::State::change(std::function<void()> how) {
  changes_.push_back(std::move(how));
  const store::Hdf5Session session(std::try_to_lock);
  if (session.has_library()) make_changes();
}

void RunFile::State::make_changes() {
  if (changes_.empty()) return;
  while (!changes_.empty()) {
    const std::function<void()> how = std::move(changes_.front());
    changes_.pop_front();  // one that fails is not tried again
    how();
  }
  store::check_hdf5(H5Fflush(file.get(), H5F_SCOPE_LOCAL), "cannot write '" + (folder / "run.h5").string() + "'");
}

RunFile::RunFile(const fs::path& folder, bool active) {
  if (!active) return;
  const store::Hdf5Session session;
  state_ = std::make_unique<State>(folder);
  state_->begin_attempt();
}

RunFile::~RunFile() = default;

int RunFile::attempt() const {
  return state_ ? state_->attempt : 0;
}

void RunFile::tell(std::function<void(const RunRecord&)> listener) {
  if (state_) state_->listener = std::move(listener);
}

void RunFile::metric(const MetricRecord& record) {
  if (!state_) return;
  store::require_metric_name(record.name);
  const auto [known_unit, first] = state_->units.emplace(record.name, record.unit);
  if (known_unit->second != record.unit) {
    throw StoreError("cannot record metric '" + record.name + "' in " + record.unit,
                     "earlier values are in " + known_unit->second);
  }
  MetricRecord stamped = record;
  stamped.attempt = state_->attempt;
  const double now = seconds_since_1970();
  state_->journal_record(store::journal_line(stamped), now);

  state_->change([state = state_.get(), stamped, now] {
    auto open = state->series.find(stamped.name);
    if (open == state->series.end()) {
      open = state->series.emplace(stamped.name, store::Series(state->file.get(), stamped.name, stamped.unit)).first;
    }
    open->second.append({stamped}, {now});
  });
}

void RunFile::layers(const std::vector<LayerRecord>& table) {
  if (!state_) return;
  state_->journal_record(store::journal_line(table), seconds_since_1970());
  state_->journal.sync();
  state_->change([state = state_.get(), table] { store::write_records(state->file.get(), "layers", table); });
}

void RunFile::stage(const StageRecord& record) {
  if (!state_) return;
  StageRecord stamped = record;
  stamped.attempt = state_->attempt;
  state_->journal_record(store::journal_line(stamped), seconds_since_1970());
  state_->journal.sync();
  state_->known.stages.push_back(stamped);
  state_->change([state = state_.get()] { store::write_records(state->file.get(), "stages", state->known.stages); });
}

void RunFile::gates(const std::vector<GateRecord>& table) {
  if (!state_) return;
  state_->journal_record(store::journal_line(table), seconds_since_1970());
  state_->journal.sync();
  state_->change([state = state_.get(), table] { store::write_records(state->file.get(), "gates", table); });
}

void RunFile::ranks(const std::vector<RankRecord>& records) {
  if (!state_) return;
  const double now = seconds_since_1970();
  for (const RankRecord& record : records) {
    nlohmann::json line = store::journal_line(record);
    store::apply_line(state_->known, line);
    state_->journal_record(std::move(line), now);
  }
  state_->change([state = state_.get()] { store::write_records(state->file.get(), "ranks", state->known.ranks); });
}

void RunFile::provenance(const std::string& key, const nlohmann::json& value) {
  if (!state_) return;
  state_->journal_record(store::journal_line(key, value), seconds_since_1970());
  state_->change([state = state_.get(), key, value] { store::write_provenance(state->file.get(), key, value); });
}

}  // namespace tercet
