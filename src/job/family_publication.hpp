// The published models of an element: <output>/models/<element>/<night>-<fingerprint12>/, and `latest`, a relative link
// to the newest accepted one. Each step is one rename, so a crash between two leaves the old state or the new one, and
// doing it again goes on (docs/decisions/007-family-publication.md).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tercet::job {

// Of what went into the run: configuration, original weights, text; from its compression_metadata.json. 12 hex digits.
std::string inputs_fingerprint(const nlohmann::json& metadata);

// Makes models/<name> out of `artifacts`, whole or not at all: hard links (copies where the file system has none) in a
// staged folder, fsynced, renamed. The run keeps its own names for the files. Nothing happens when it is there.
void publish_artifacts(const std::filesystem::path& artifacts, const std::filesystem::path& models,
                       const std::string& name);

// Replaces models/latest by one rename.
void point_latest(const std::filesystem::path& models, const std::string& name);

// Removes all but the newest `keep` of `published` (names in the order in which they were accepted), never the one that
// `latest` names, and what earlier crashes left staged. Folders that are not in the list stay.
void retire_publications(const std::filesystem::path& models, const std::vector<std::string>& published,
                         std::size_t keep);

}  // namespace tercet::job
