#include "family_publication.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

constexpr const char* kStaged = ".staged-";    // being made
constexpr const char* kRetired = ".retired-";  // being removed
constexpr const char* kLink = ".latest-";

void link_or_copy(const fs::path& from, const fs::path& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return;
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) throw StoreError("cannot publish '" + to.string() + "'", error.message(), "check free space");
}

void link_tree(const fs::path& from, const fs::path& to) {
  make_folder(to);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path target = to / entry.path().lexically_relative(from);
    if (entry.is_directory()) {
      make_folder(target);
    } else if (entry.is_regular_file()) {
      link_or_copy(entry.path(), target);
    }
  }
}

// Out of sight by one rename first: nobody sees half a folder.
void remove_folder(const fs::path& folder) {
  const fs::path hidden = folder.parent_path() / (kRetired + folder.filename().string());
  std::error_code error;
  fs::remove_all(hidden, error);
  fs::rename(folder, hidden, error);
  if (!error) fs::remove_all(hidden, error);
  if (error) throw StoreError("cannot remove '" + folder.string() + "'", error.message());
}

void remove_leftovers(const fs::path& models) {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(models)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name.starts_with(kStaged) || name.starts_with(kRetired) || name.starts_with(kLink);
    if (ours) leftovers.push_back(entry.path());
  }
  std::error_code ignored;
  for (const fs::path& path : leftovers) fs::remove_all(path, ignored);
}

}  // namespace

std::string inputs_fingerprint(const nlohmann::json& metadata) {
  try {
    std::string inputs = metadata.at("config").at("fingerprint").get<std::string>() + "\n" +
                         metadata.at("model").at("weights_sha256").get<std::string>() + "\n";
    for (const auto& source : metadata.at("data")) inputs += source.at("sha256").get<std::string>() + "\n";
    return sha256_hex(inputs).substr(0, 12);
  } catch (const nlohmann::json::exception& error) {
    throw StoreError("compression_metadata.json lacks what the fingerprint is made of", error.what());
  }
}

void publish_artifacts(const fs::path& artifacts, const fs::path& models, const std::string& name) {
  if (fs::exists(models / name)) return;  // an earlier attempt came this far
  make_folder(models);
  const fs::path staged = models / (kStaged + name);
  std::error_code ignored;
  fs::remove_all(staged, ignored);
  link_tree(artifacts, staged);
  publish_directory(staged, models / name);
}

void point_latest(const fs::path& models, const std::string& name) {
  const fs::path link = models / "latest", staged = models / (kLink + name);
  std::error_code error;
  if (fs::read_symlink(link, error) == name && !error) return;
  fs::remove(staged, error);
  fs::create_directory_symlink(name, staged, error);
  if (error) throw StoreError("cannot make the link '" + staged.string() + "'", error.message());
  if (::rename(staged.c_str(), link.c_str()) != 0) {
    throw StoreError("cannot replace '" + link.string() + "'", std::strerror(errno));
  }
  sync_path(models);
}

void retire_publications(const fs::path& models, const std::vector<std::string>& published, std::size_t keep) {
  remove_leftovers(models);
  std::error_code absent;
  const std::string latest = fs::read_symlink(models / "latest", absent).string();
  const std::size_t retired = published.size() - std::min(keep, published.size());
  for (std::size_t i = 0; i < retired; ++i) {
    const std::string& name = published[i];
    const bool still_wanted =
        std::find(published.begin() + static_cast<std::ptrdiff_t>(retired), published.end(), name) != published.end();
    if (name == latest || still_wanted || !fs::exists(models / name)) continue;
    remove_folder(models / name);
  }
}

}  // namespace tercet::job
