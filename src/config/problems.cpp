#include "config/problems.hpp"

#include <algorithm>
#include <tuple>

#include "tercet/base/error.hpp"

namespace tercet::config {
namespace {

constexpr std::size_t kMostShown = 50;

std::string line_of(const Place& place, const std::string& key, const std::string& text, const std::string& where) {
  std::string line = to_string(place) + ": ";
  if (!key.empty() && place.source != "--set " + key) line += key + ": ";
  return line + text + (where.empty() ? "" : " (" + where + ")");
}

}  // namespace

std::string to_string(const Place& place) {
  if (place.line == 0) return place.source;
  return place.source + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

void Problems::add(const Place& place, const std::string& key, const std::string& problem) {
  problems_.push_back({place, key, problem, ""});
}

bool Problems::concerns(const std::string& key) const {
  return std::any_of(problems_.begin(), problems_.end(), [&key](const Problem& problem) {
    if (!problem.key.starts_with(key)) return false;
    return problem.key.size() == key.size() || problem.key[key.size()] == '.' || problem.key[key.size()] == '[';
  });
}

void Problems::add_new(const Problems& others, const std::string& where) {
  const auto same = [](const Problem& a, const Problem& b) {
    return to_string(a.place) == to_string(b.place) && a.key == b.key && a.text == b.text;
  };
  for (const Problem& other : others.problems_) {
    const auto known = [&](const Problem& problem) { return same(problem, other); };
    if (std::any_of(problems_.begin(), problems_.end(), known)) continue;
    problems_.push_back({other.place, other.key, other.text, where});
  }
}

void Problems::throw_if_any() {
  if (problems_.empty()) return;
  // The file in its own order, then the overrides (which have no lines) in theirs.
  const auto order = [](const Problem& problem) {
    return std::tuple(problem.place.source.starts_with("--set "), problem.place.line, problem.place.column);
  };
  std::stable_sort(problems_.begin(), problems_.end(),
                   [&order](const Problem& a, const Problem& b) { return order(a) < order(b); });
  if (problems_.size() == 1) {
    throw ConfigError(line_of(problems_[0].place, problems_[0].key, problems_[0].text, problems_[0].where));
  }
  std::string text = "the configuration has " + std::to_string(problems_.size()) + " mistakes:";
  for (std::size_t i = 0; i < std::min(problems_.size(), kMostShown); ++i) {
    text += "\n  " + line_of(problems_[i].place, problems_[i].key, problems_[i].text, problems_[i].where);
  }
  if (problems_.size() > kMostShown) text += "\n  ... and " + std::to_string(problems_.size() - kMostShown) + " more";
  throw ConfigError(text);
}

}  // namespace tercet::config
