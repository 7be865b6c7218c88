#include "store/checkpoint_folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

const std::string kPrefix = "step-";
const std::string kStaging = ".tmp-";
const std::string kFormer = "former-";

bool begins_with(const fs::path& path, const std::string& beginning) {
  return path.filename().string().rfind(beginning, 0) == 0;
}

std::vector<fs::path> beginning_with(const fs::path& folder, const std::string& beginning) {
  std::vector<fs::path> found;
  std::error_code error;  // of a folder that is not there: nothing is in it
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (begins_with(entry.path(), beginning)) found.push_back(entry.path());
  }
  return found;
}

void remove_leftovers(const fs::path& folder) {
  bring_back_former(folder);
  std::error_code ignored;
  for (const fs::path& path : beginning_with(folder, kStaging + kPrefix)) fs::remove_all(path, ignored);
  for (const fs::path& path : beginning_with(folder, kFormer + kPrefix)) fs::remove_all(path, ignored);
}

void rename_or_throw(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  throw StoreError("cannot publish '" + to.string() + "'", std::strerror(errno));
}

// After this `target` is what `staged` was, and the former one is gone or can be recognised as such.
void replace(const fs::path& staged, const fs::path& target) {
  std::error_code ignored;
  if (::renameat2(AT_FDCWD, staged.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    sync_path(target.parent_path());
    fs::remove_all(staged, ignored);
    return;
  }
  const fs::path former = target.parent_path() / (kFormer + target.filename().string());
  fs::remove_all(former, ignored);
  rename_or_throw(target, former);
  try {
    rename_or_throw(staged, target);
  } catch (...) {
    fs::rename(former, target, ignored);
    throw;
  }
  sync_path(target.parent_path());
  fs::remove_all(former, ignored);
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
  if (!fs::exists(target)) return publish_directory(staged, target);
  sync_path(staged / "state.h5");
  sync_path(staged);
  replace(staged, target);
}

void bring_back_former(const fs::path& folder) {
  for (const fs::path& former : beginning_with(folder, kFormer + kPrefix)) {
    const std::string name = former.filename().string().substr(kFormer.size());
    std::error_code error;
    if (!step_of(name) || fs::exists(folder / name)) continue;
    fs::rename(former, folder / name, error);
    if (!error) log::warn("checkpoint " + name + " was about to be replaced when a job ended; it is taken up again");
  }
}

void remove_old(const fs::path& folder, std::int64_t step, int keep) {
  int kept = 0;
  for (const std::int64_t published : published_steps(folder)) {
    if (published > step || ++kept <= std::max(keep, 1)) continue;
    std::error_code error;
    fs::remove_all(folder / step_name(published), error);
    if (error) {
      log::warn("old checkpoint " + step_name(published) + " could not be removed (" + error.message() + ")");
    }
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
