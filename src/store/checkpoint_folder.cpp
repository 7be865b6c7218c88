#include "store/checkpoint_folder.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <system_error>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

const std::string kPrefix = "step-";
const std::string kStaging = ".tmp-";

void remove_leftovers(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().rfind(kStaging + kPrefix, 0) == 0) fs::remove_all(entry.path(), error);
  }
}

}  // namespace

std::string step_name(std::int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return name;
}

std::optional<std::int64_t> step_of(const std::string& name) {
  const std::string digits = name.rfind(kPrefix, 0) == 0 ? name.substr(kPrefix.size()) : "";
  if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  const std::int64_t step = std::stoll(digits);
  return step_name(step) == name ? std::optional(step) : std::nullopt;
}

std::vector<std::int64_t> published_steps(const fs::path& folder) {
  std::vector<std::int64_t> steps;
  if (!fs::exists(folder)) return steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  }
  if (error) throw StoreError("cannot list checkpoints in '" + folder.string() + "'", error.message());
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

fs::path make_staging(const fs::path& folder, std::int64_t step) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) remove_leftovers(folder);
  const fs::path staged = folder / (kStaging + step_name(step) + "." + std::to_string(::getpid()));
  if (!error) fs::create_directory(staged, error);
  if (error) {
    throw StoreError("cannot create '" + staged.string() + "'", error.message(),
                     "check that the checkpoint folder can be written");
  }
  return staged;
}

void publish_staged(const fs::path& staged, const fs::path& folder, std::int64_t step) {
  const fs::path target = folder / step_name(step);
  const fs::path former = folder / (kStaging + step_name(step) + ".former");
  std::error_code error;
  const bool replaces = fs::exists(target);
  if (replaces) fs::rename(target, former, error);
  if (error) throw StoreError("cannot replace '" + target.string() + "'", error.message());
  try {
    publish_directory(staged, target);
  } catch (...) {
    if (replaces) fs::rename(former, target, error);
    throw;
  }
  if (replaces) fs::remove_all(former, error);
}

void remove_old(const fs::path& folder, int keep) {
  const std::vector<std::int64_t> steps = published_steps(folder);
  for (std::size_t i = static_cast<std::size_t>(std::max(keep, 1)); i < steps.size(); ++i) {
    std::error_code error;
    fs::remove_all(folder / step_name(steps[i]), error);
    if (error) log::warn("old checkpoint " + step_name(steps[i]) + " could not be removed (" + error.message() + ")");
  }
}

std::string set_bad_aside(const fs::path& folder, std::int64_t step) {
  std::string name = "bad-" + step_name(step);
  for (int i = 2; fs::exists(folder / name); ++i) name = "bad-" + step_name(step) + "-" + std::to_string(i);
  std::error_code error;
  fs::rename(folder / step_name(step), folder / name, error);
  return error ? "" : name;
}

}  // namespace tercet::store
