// The independent check of hf-bitnet/, from how transformers documents its BitLinear layers.
#include <algorithm>

#include "checked_folder.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet {
namespace {

// Modules that transformers leaves as they are.
bool is_left_alone(const CheckedFolder& folder, const std::string& module) {
  const auto names = folder.settings().value("modules_to_not_convert", nlohmann::json::array());
  return std::any_of(names.begin(), names.end(), [&](const auto& name) { return name == module; });
}

void compare_packed(CheckedFolder& folder, const std::string& name, const at::Tensor& expected) {
  const std::int64_t rows = expected.size(0), columns = expected.size(1), quarter = rows / 4;
  const at::Tensor bytes = folder.take(name, "U8", {quarter, columns});
  const at::Tensor scale = folder.take(name + "_scale", "F32", {1});
  if (!bytes.defined() || !scale.defined() || rows % 4 != 0) return;
  const auto* byte = bytes.const_data_ptr<std::uint8_t>();
  const float divisor = *scale.const_data_ptr<float>();
  ValueComparison comparison(expected);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const int code = byte[i % quarter * columns + j] >> 2 * (i / quarter) & 3;
      comparison.add(i * columns + j, static_cast<float>(code - 1) / divisor);
    }
  }
  folder.report(name, comparison);
}

}  // namespace

void check_hf_bitnet(const std::filesystem::path& path, const PackedModel& model, Findings& findings) {
  CheckedFolder folder(path, model, findings);
  folder.expect("quant_method", "bitnet");
  folder.expect("linear_class", "bitlinear");  // the other class multiplies by the scale
  folder.expect("quantization_mode", "offline");
  if (!is_left_alone(folder, "lm_head")) folder.say("modules_to_not_convert of config.json lacks lm_head");
  for (const PackedTensor& tensor : model.tensors) {
    heartbeat::beat();
    const at::Tensor expected = decode_stored(tensor.stored);
    const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
    const bool packed = folder.has(tensor.name + "_scale");
    const bool linear = expected.dim() == 2 && tensor.role != "embedding";
    if (linear && packed == is_left_alone(folder, module))
      folder.say("modules_to_not_convert of config.json is wrong about " + module);
    packed ? compare_packed(folder, tensor.name, expected) : folder.compare_plain(tensor.name, expected);
  }
  folder.report_superfluous();
}

}  // namespace tercet
