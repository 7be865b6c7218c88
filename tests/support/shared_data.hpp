// Real models and texts, which are not part of the project; tests that read them say that they are skipped without.
#pragma once

#include <cstdlib>
#include <filesystem>

#include "source_dir.hpp"

namespace tercet::test {

// The folder `data` in the one that TERCET_SHARED names, by default ../shared beside the checkout; empty if absent.
inline std::filesystem::path shared_data() {
  const char* given = std::getenv("TERCET_SHARED");
  const auto root =
      given != nullptr ? std::filesystem::path(given) : std::filesystem::path(TERCET_SOURCE_DIR) / "../shared";
  return std::filesystem::exists(root / "data/README.md") ? root / "data" : std::filesystem::path();
}

}  // namespace tercet::test
