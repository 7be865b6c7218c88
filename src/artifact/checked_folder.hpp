// A Hugging Face folder with weights that are not plain, as the independent check reads it.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "export_checks.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet {

class CheckedFolder {
 public:
  // Notes a config.json of another model. Throws Error for what cannot be read.
  CheckedFolder(const std::filesystem::path& folder, const PackedModel& model, Findings& findings);

  const nlohmann::json& settings() const { return settings_; }    // quantization_config
  void expect(const std::string& key, const std::string& value);  // of the settings
  bool has(const std::string& tensor) const { return weights_->tensors().contains(tensor); }
  // Null, after a word, where there is none of this type and shape.
  at::Tensor take(const std::string& tensor, const std::string& type, const std::vector<std::int64_t>& shape);
  // A tensor of plain fp16 values against the expected ones.
  void compare_plain(const std::string& tensor, const at::Tensor& expected);
  void report(const std::string& tensor, const ValueComparison& comparison) {
    comparison.report(tensor, where_, findings_);
  }
  void report_superfluous();  // tensors that nobody took
  void say(const std::string& what) { findings_.push_back(where_ + ": " + what); }

 private:
  std::string where_;
  Findings& findings_;
  std::unique_ptr<WeightSource> weights_;
  nlohmann::json settings_;
  std::set<std::string> left_;
};

}  // namespace tercet
