// A study file: a base configuration, rows that each change some of its keys, and seeds; every pair of a row and a seed
// is an element, a job of its own (docs/studies.md). Every plain key has a row in config/study_schema.cpp, from which
// the section "Studies" of docs/config.md is made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tercet/config/element_config.hpp"

namespace tercet {

struct StudyRow {
  std::string name;
  bool is_control = false;
  std::vector<std::pair<std::string, std::string>> settings;  // what it changes: key and value, as they were written
};

struct StudyElement : Element {  // name: <row>-s<seed>
  std::size_t row = 0;           // of StudyConfig::rows
};

struct StudyConfig {
  std::string name = "study";
  std::string output;
  std::string base;  // a job's configuration; empty: `settings` alone
  bool control = true;
  std::vector<std::int64_t> seeds = {1, 2, 3};
  PackingSection packing;
  LimitsSection limits;
  std::vector<StudyRow> rows;          // in the order of the file; the control comes last
  std::vector<StudyElement> elements;  // by seed, then by row
};

// Reads and checks the whole file, every element's configuration included. An override ("a.b=c") of a key of the study
// counts for it, of a key of a job for all elements; one that a row sets itself is refused. Throws one ConfigError that
// lists every mistake as load_job_config does. Whether paths exist is not looked at, but for that of `base`.
StudyConfig load_study_config(const std::filesystem::path& file, const std::vector<std::string>& overrides);

// What a row is measured against: the job `base` without any quantization. Weights, embedding and head in fp16, inputs
// left alone, and no step that needs levels; text, steps, optimizer and evaluation as they are. Gates that a model
// which was not compressed cannot pass are off.
JobConfig full_precision(JobConfig base);

}  // namespace tercet
