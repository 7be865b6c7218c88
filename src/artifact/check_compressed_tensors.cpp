// The independent check of compressed-tensors/, from the documentation of "pack-quantized".
#include <regex>

#include "checked_folder.hpp"
#include "compressed_tensors_view.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace compressed_tensors_check;

void compare_packed(CheckedFolder& folder, const std::string& name, const std::string& module, const Scheme& scheme,
                    const at::Tensor& expected) {
  const std::int64_t rows = expected.size(0), columns = expected.size(1);
  const std::int64_t group = scheme.group_size == 0 ? columns : scheme.group_size;
  if (columns % group != 0)
    return folder.say("groups of " + std::to_string(group) + " do not divide a row of " + module);
  const std::int64_t groups = columns / group, width = (columns * scheme.bits + 31) / 32;
  const at::Tensor packed = folder.take(module + ".weight_packed", "I32", {rows, width});
  const at::Tensor scales = folder.take(module + ".weight_scale", "F16", {rows, groups});
  const at::Tensor shape = folder.take(module + ".weight_shape", "I64", {2});
  at::Tensor zeros;
  if (!scheme.symmetric)
    zeros = folder.take(module + ".weight_zero_point", "I32", {(rows * scheme.bits + 31) / 32, groups});
  if (!packed.defined() || !scales.defined() || !shape.defined() || zeros.defined() == scheme.symmetric) return;
  const auto* sizes = shape.const_data_ptr<std::int64_t>();
  if (sizes[0] != rows || sizes[1] != columns) folder.say("weight_shape of " + module + " is not its shape");
  const auto* word = packed.const_data_ptr<std::int32_t>();
  const auto* scale = scales.const_data_ptr<c10::Half>();
  ValueComparison comparison(expected);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int64_t g = j / group;
      std::int64_t zero = std::int64_t{1} << (scheme.bits - 1);
      if (!scheme.symmetric) zero = code_at(zeros.const_data_ptr<std::int32_t>() + g, groups, i, scheme.bits);
      const auto steps = static_cast<float>(code_at(word + i * width, 1, j, scheme.bits) - zero);
      comparison.add(i * columns + j, steps * static_cast<float>(scale[i * groups + g]));
    }
  }
  folder.report(name, comparison);
}

void check(const fs::path& path, const PackedModel& model, Findings& findings) {
  CheckedFolder folder(path, model, findings);
  folder.expect("quant_method", "compressed-tensors");
  folder.expect("format", "pack-quantized");
  folder.expect("quantization_status", "compressed");
  for (const PackedTensor& tensor : model.tensors) {
    heartbeat::beat();
    const at::Tensor expected = decode_stored(tensor.stored);
    const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
    const bool packed = tensor.name.ends_with(".weight") && folder.has(tensor.name + "_packed");
    const bool linear = expected.dim() == 2 && tensor.role != "embedding";
    if (linear && packed == is_ignored(folder.settings(), module))
      folder.say("ignore of config.json is wrong about " + module);
    if (!packed) {
      folder.compare_plain(tensor.name, expected);
      continue;
    }
    const std::vector<Scheme> schemes = schemes_of(folder.settings(), module);
    if (schemes.size() == 1) compare_packed(folder, tensor.name, module, schemes.front(), expected);
    if (schemes.size() != 1) folder.say("config.json has " + std::to_string(schemes.size()) + " schemes for " + module);
  }
  folder.report_superfluous();
}

}  // namespace

void check_compressed_tensors(const fs::path& path, const PackedModel& model, Findings& findings) {
  try {
    check(path, model, findings);
  } catch (const json::exception& error) {
    findings.push_back(path.filename().string() + ": config.json cannot be understood: " + error.what());
  } catch (const std::regex_error& error) {
    findings.push_back(path.filename().string() + ": a target of config.json is no expression: " + error.what());
  }
}

}  // namespace tercet
