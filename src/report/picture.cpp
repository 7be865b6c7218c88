// A run at one moment, in lines for a terminal.
#include <algorithm>
#include <cmath>

#include "tercet/base/text.hpp"
#include "tercet/base/utf8.hpp"
#include "tercet/report/glance.hpp"
#include "tercet/report/status.hpp"
#include "tercet/store/number_json.hpp"

namespace tercet {
namespace {

using nlohmann::json;
using Lines = std::vector<std::string>;

constexpr std::size_t kMostRanks = 12;
constexpr double kLate_s = 30;  // without a heartbeat, which is written every five seconds
constexpr double kIdle_s = 60;  // of one rank that computes

}  // namespace

WorkUnderWay work_under_way(const Glance& run) {
  const RankState* root = run.root();
  if (run.over() || root == nullptr) return {run.stage, 0, 0, {}, {}};
  const heartbeat::Place& place = root->place;
  WorkUnderWay work;
  work.what = place.phase.starts_with("compress > ") ? place.phase.substr(11) : place.phase;
  work.done = place.done;
  work.total = place.total;
  if (place.total > 0) work.pace = run.pace;
  if (work.pace && place.done < place.total) work.left_s = static_cast<double>(place.total - place.done) / *work.pace;
  return work;
}

std::string state_in_words(const Glance& run) {
  std::string text = run.state.empty() ? "no status yet" : run.state;
  if (run.exit_code) text += " (exit code " + std::to_string(*run.exit_code) + ")";
  if (run.attempts > 1) text += ", attempt " + std::to_string(run.attempts);
  const double began = unix_time_of(run.started);
  if (run.over() && run.seconds) {
    text += ", took " + format_duration(*run.seconds);
  } else if (began > 0) {
    text += ", for " + format_duration(std::max(0.0, run.time - began));
  }
  return text;
}

std::string gate_in_words(const Glance& run, const GateRecord& gate) {
  if (gate.verdict == "skipped") return "off";
  if (!std::isfinite(gate.value)) return run.judged ? "FAIL (not measured)" : "not measured yet";
  const std::string word = gate.verdict == "pass" ? "pass" : gate.severity == "fail" ? "FAIL" : "warning";
  return run.judged ? word : word + " so far";
}

std::string rank_in_words(const RankState& rank) {
  if (!rank.known) return "not heard of for " + format_duration(rank.silent_s);
  std::string text = rank.place.waiting ? "waits in " + rank.place.call : "computes";
  if (rank.idle_s + rank.silent_s > kIdle_s)
    text += ", no sign of life for " + format_duration(rank.idle_s + rank.silent_s);
  return text;
}

std::vector<std::string> warnings_of(const Glance& run) {
  std::vector<std::string> words;
  if (const auto silent = run.silent_s(); silent && *silent > kLate_s)
    words.push_back("no sign of life for " + format_duration(*silent) +
                    ": the job was killed, or is suspended, or its disk hangs");
  if (run.bad_steps > 0) words.push_back(std::to_string(run.bad_steps) + " steps were not finite and not taken");
  if (run.fallbacks > 0)
    words.push_back(std::to_string(run.fallbacks) + " layers could not be solved and took the rounding rule");
  if (run.damaged_lines > 0)
    words.push_back(std::to_string(run.damaged_lines) + " lines of the journal are damaged and passed over");
  return words;
}

namespace {

const std::string kIndent(9, ' ');

// The words with commas between them, broken into lines of at most `width` columns.
void add_words(Lines& lines, const std::string& heading, const std::vector<std::string>& words, std::size_t width) {
  if (words.empty()) return;
  std::string line = heading + std::string(kIndent.size() - heading.size(), ' ');
  bool first = true;
  for (const std::string& word : words) {
    if (!first && line.size() + word.size() + 3 > width) {
      lines.push_back(line + ",");
      line = kIndent;
      first = true;
    }
    line += (first ? "" : ", ") + word;
    first = false;
  }
  lines.push_back(line);
}

std::string progress(const Glance& run) {
  const WorkUnderWay work = work_under_way(run);
  std::string text = work.what;
  if (work.total == 0) return text;
  const double share = std::min(1.0, static_cast<double>(work.done) / static_cast<double>(work.total));
  text += "  " + format_count(work.done) + " of " + format_count(work.total) + "  " +
          format_fixed(std::floor(100 * share), 0) + " %";
  if (work.pace) text += "  " + format_fixed(*work.pace, *work.pace < 10 ? 2 : 0) + "/s";
  return work.left_s ? text + "  " + format_duration(*work.left_s) + " left" : text;
}

std::vector<std::string> finished_stages(const Glance& run) {
  std::vector<std::string> words;
  for (const StageRecord& stage : run.stages)
    words.push_back(stage.name + " " + format_duration(stage.end_s - stage.begin_s));
  return words;
}

std::vector<std::string> figures(const Glance& run) {
  std::vector<std::string> words;
  for (const char* moment : {"before", "quantized", "tuned by block", "packed"}) {
    if (const auto value = run.value(std::string("evaluation/") + moment + "/perplexity"))
      words.push_back((words.empty() ? "perplexity " : "") + format_fixed(*value, 3) + " " + moment);
  }
  const auto with_step = [&](const char* series, const std::string& title, int digits) {
    const auto found = run.last.find(series);
    if (found == run.last.end()) return;
    words.push_back(title + " " + format_fixed(found->second.value, digits) + " at step " +
                    std::to_string(found->second.step));
  };
  with_step("training/loss", "loss", 4);
  with_step("training/held_out_perplexity", "held-out perplexity", 3);
  if (const auto rate = run.value("training/tokens_per_second")) words.push_back(format_fixed(*rate, 0) + " tokens/s");
  if (run.results) {
    if (const auto ratio = run.results->ratio(run.results->baseline))
      words.push_back(format_fixed(*ratio, 2) + "x smaller than " + run.results->baseline);
  }
  return words;
}

void add_gates(Lines& lines, const Glance& run) {
  std::string heading = "gates    ";
  for (const GateRecord& gate : run.gates) {
    std::string name = gate.name;
    name.resize(std::max<std::size_t>(name.size(), 14), ' ');
    std::string value = std::isfinite(gate.value) ? format_fixed(gate.value, 4) : "";
    value.insert(0, std::max<std::size_t>(value.size(), 9) - value.size(), ' ');
    std::string wants = gate.comparison;
    wants.resize(std::max<std::size_t>(wants.size(), 14), ' ');
    lines.push_back(heading + name + value + "  " + wants + "  " + gate_in_words(run, gate));
    heading = kIndent;
  }
}

// Of many ranks those that are silent for the longest time.
std::vector<RankState> ranks_to_show(const Glance& run) {
  std::vector<RankState> ranks = run.heartbeat->ranks;
  if (ranks.size() > kMostRanks) {
    std::stable_sort(ranks.begin(), ranks.end(), [](const RankState& a, const RankState& b) {
      return a.idle_s + a.silent_s > b.idle_s + b.silent_s;
    });
    ranks.resize(kMostRanks);
  }
  return ranks;
}

void add_ranks(Lines& lines, const Glance& run) {
  if (run.over() || !run.heartbeat || run.heartbeat->ranks.empty()) return;
  std::vector<std::vector<std::string>> rows = {{"rank", "host", "memory", "where", "state"}};
  for (const RankState& rank : ranks_to_show(run)) {
    const std::string progress =
        rank.place.total > 0 ? " " + std::to_string(rank.place.done) + "/" + std::to_string(rank.place.total) : "";
    rows.push_back({std::to_string(rank.rank), rank.host, rank.known ? format_bytes(rank.memory_bytes) : "",
                    rank.place.phase + progress, rank_in_words(rank)});
  }
  lines.push_back("");
  const std::string table = format_table(rows);
  for (std::size_t begin = 0; begin < table.size();) {
    const std::size_t end = table.find('\n', begin);
    lines.push_back(table.substr(begin, end - begin));
    begin = end + 1;
  }
  if (run.heartbeat->ranks.size() > kMostRanks)
    lines.push_back("the " + std::to_string(kMostRanks) + " that were silent longest, of " +
                    std::to_string(run.heartbeat->ranks.size()));
}

std::string fitting(const std::string& line, std::size_t width) {
  std::string clean = printable(line, line.size() * 4 + 1);
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  std::size_t columns = 0;
  for (std::size_t i = 0; i < clean.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(clean[i]) & 0xC0) != 0x80;
    if (begins && ++columns > width) return clean.substr(0, i);
  }
  return clean;
}

json gates_json(const Glance& run) {
  auto list = json::array();
  for (const GateRecord& gate : run.gates) {
    list.push_back({{"name", gate.name},
                    {"value", number_to_json(gate.value)},
                    {"wants", gate.comparison},
                    {"state", gate_in_words(run, gate)}});
  }
  return list;
}

}  // namespace

std::string picture(const Glance& run, std::size_t width) {
  Lines lines = {"run      " + run.name + "  " + state_in_words(run)};
  if (run.over() && !run.sentence.empty()) lines.push_back(kIndent + run.sentence);
  if (const std::string where = progress(run); !where.empty())
    lines.push_back((run.over() ? "last     " : "now      ") + where);
  add_words(lines, "done", finished_stages(run), width);
  add_words(lines, "figures", figures(run), width);
  add_gates(lines, run);
  std::string heading = "warning  ";
  for (const std::string& warning : warnings_of(run)) lines.push_back(heading + warning);
  add_ranks(lines, run);
  std::string text;
  for (const std::string& line : lines) text += fitting(line, width) + "\n";
  return text;
}

json to_json(const Glance& run) {
  auto values = json::object();
  for (const auto& [name, record] : run.last)
    values[name] = {{"step", record.step}, {"value", number_to_json(record.value)}, {"unit", record.unit}};
  const RankState* root = run.root();
  const auto optional = [](const std::optional<double>& value) { return value ? number_to_json(*value) : json(); };
  return {{"run", run.folder.string()},
          {"name", run.name},
          {"state", run.state},
          {"exit_code", run.exit_code ? json(*run.exit_code) : json()},
          {"sentence", run.sentence},
          {"stage", run.stage},
          {"attempt", run.attempts},
          {"started", run.started},
          {"updated", run.updated},
          {"silent_s", optional(run.silent_s())},
          {"phase", root ? json(root->place.phase) : json()},
          {"done", root ? json(root->place.done) : json()},
          {"total", root ? json(root->place.total) : json()},
          {"per_second", optional(run.pace)},
          {"values", values},
          {"gates", gates_json(run)},
          {"judged", run.judged},
          {"ranks", run.heartbeat ? to_json(*run.heartbeat).at("ranks") : json::array()},
          {"warnings", warnings_of(run)},
          {"results", run.results ? to_json(*run.results) : json()}};
}

}  // namespace tercet
