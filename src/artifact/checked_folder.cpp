#include "checked_folder.hpp"

#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/model_io/model_config.hpp"

namespace tercet {
namespace {

constexpr std::uintmax_t kMaxConfigBytes = 16 << 20;

}  // namespace

CheckedFolder::CheckedFolder(const std::filesystem::path& folder, const PackedModel& model, Findings& findings)
    : where_(folder.filename().string()), findings_(findings), weights_(open_weights(folder)) {
  const std::string file = where_ + "/config.json";
  nlohmann::json config = parse_json_object(read_file(folder / "config.json", kMaxConfigBytes), file);
  settings_ = config.value("quantization_config", nlohmann::json::object());
  config.erase("quantization_config");  // with it the model would be refused as a job's input
  const ModelConfig exported = parse_model_config(config.dump(), file);
  if (exported.family != model.config.family || exported.vocab_size != model.config.vocab_size ||
      exported.tied_head != model.config.tied_head)
    say("config.json describes another model than the packed one");
  for (const auto& [name, info] : weights_->tensors()) left_.insert(name);
}

void CheckedFolder::expect(const std::string& key, const std::string& value) {
  if (settings_.value(key, nlohmann::json()) != value) say(key + " of config.json is not " + value);
}

at::Tensor CheckedFolder::take(const std::string& tensor, const std::string& type,
                               const std::vector<std::int64_t>& shape) {
  left_.erase(tensor);
  const auto found = weights_->tensors().find(tensor);
  if (found == weights_->tensors().end()) {
    say("tensor '" + tensor + "' is missing");
  } else if (found->second.dtype != type || found->second.shape != shape) {
    say("tensor '" + tensor + "' has another type or shape than its packed codes");
  } else {
    return weights_->tensor(tensor).contiguous();
  }
  return {};
}

void CheckedFolder::compare_plain(const std::string& tensor, const at::Tensor& expected) {
  const at::Tensor values = take(tensor, "F16", expected.sizes().vec());
  if (!values.defined()) return;
  ValueComparison comparison(expected);
  const auto* value = values.const_data_ptr<c10::Half>();
  for (std::int64_t i = 0; i < values.numel(); ++i) comparison.add(i, static_cast<float>(value[i]));
  report(tensor, comparison);
}

void CheckedFolder::report_superfluous() {
  for (const std::string& name : left_) say("tensor '" + name + "' is not in the packed model");
}

}  // namespace tercet
