#include "run_identity.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet::job {
namespace {

constexpr std::uintmax_t kLargestIdentity = 16 << 20;

std::string value_of(const Traits& traits, const std::string& key) {
  const auto found = traits.find(key);
  return found == traits.end() ? "not set" : found->second;
}

// "key: was A, is B" by key.
Traits differences(const Traits& before, const Traits& now) {
  std::set<std::string> keys;
  for (const auto& [key, value] : before) keys.insert(key);
  for (const auto& [key, value] : now) keys.insert(key);
  Traits found;
  for (const std::string& key : keys) {
    const std::string was = value_of(before, key), is = value_of(now, key);
    if (was != is) found[key] = key + ": was " + was + ", is " + is;
  }
  return found;
}

}  // namespace

RunIdentity::RunIdentity(const std::filesystem::path& folder, std::vector<std::string> allowed)
    : file_(folder / "identity.json"), allowed_(std::move(allowed)) {
  if (!std::filesystem::exists(file_)) return;
  try {
    parts_ = parse_json_object(read_file(file_, kLargestIdentity), file_.string()).get<std::map<std::string, Traits>>();
  } catch (const std::exception& error) {
    throw StoreError("cannot read '" + file_.string() + "'", error.what(),
                     "choose another output, or remove the folder to start anew");
  }
}

std::vector<std::string> RunIdentity::check(const std::string& part, const Traits& now) {
  const auto known = parts_.find(part);
  if (known == parts_.end()) {
    parts_[part] = now;
    write_file_atomically(file_, nlohmann::json(parts_).dump(1) + "\n");
    return {};
  }
  std::vector<std::string> allowed;
  std::string refused;
  for (const auto& [key, sentence] : differences(known->second, now)) {
    if (std::find(allowed_.begin(), allowed_.end(), key) != allowed_.end()) {
      allowed.push_back(sentence);
    } else {
      refused += "\n    " + sentence;
    }
  }
  if (refused.empty()) return allowed;
  throw ConfigError(
      "the run directory '" + file_.parent_path().string() + "' holds a run of another configuration",
      "since it was started these have changed:" + refused + "\n ",
      "choose another output, or remove the folder to start anew; what only moves inputs, rounds or judges "
      "can be allowed with --allow-changed KEY");
}

std::string RunIdentity::fingerprint() const {
  return sha256_hex(nlohmann::json(parts_).dump());
}

}  // namespace tercet::job
