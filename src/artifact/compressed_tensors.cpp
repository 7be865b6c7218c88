// compressed-tensors/: integers and trits as the library compressed-tensors packs them ("format": "pack-quantized").
//
// A matrix `m` of b bits becomes
//   m.weight_packed      int32 [out, ceil(in b / 32)]: value j of a row, level + 2^(b-1), at bits b j to b j + b - 1
//   m.weight_scale       float16 [out, groups], or [out, 1]
//   m.weight_shape       int64 [2]: out, in
//   m.weight_zero_point  int32 [ceil(out b / 32), groups], asymmetric alone: level + 2^(b-1), along the rows likewise
// That is our layout but for rows of whole words, trits (2 bits, levels moved by 2 instead of 1) and int8's sign.
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <map>
#include <set>

#include "export_table.hpp"
#include "hf_files.hpp"
#include "model_parts.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

int bits_of(const FormatSpec& spec) {
  const int bits = spec.format->layout().bits;
  return bits == 0 ? 2 : bits;  // trits as digits
}

std::int64_t words(std::int64_t values, int bits) {
  return (values * bits + 31) / 32;
}

// int8 levels [rows, columns] to int32 [rows, words]: level + 2^(b-1), dense from the lowest bit.
at::Tensor pack_rows(const at::Tensor& levels, int bits) {
  const at::Tensor dense = levels.contiguous();
  const std::int64_t rows = dense.size(0), columns = dense.size(1), width = words(columns, bits);
  at::Tensor packed = at::zeros({rows, width}, at::kInt);
  const auto* level = dense.const_data_ptr<std::int8_t>();
  auto* out = reinterpret_cast<std::uint32_t*>(packed.mutable_data_ptr<std::int32_t>());
  for (std::int64_t i = 0; i < rows; ++i, level += columns, out += width) {
    if (i % 1024 == 0) heartbeat::beat();
    for (std::int64_t j = 0; j < columns; ++j) {
      const auto code = static_cast<std::uint64_t>(level[j] + (1 << (bits - 1)));
      const std::int64_t bit = j * bits;
      const std::uint64_t shifted = code << bit % 32;  // may reach into the next word
      out[bit / 32] |= static_cast<std::uint32_t>(shifted);
      if (shifted >> 32 != 0) out[bit / 32 + 1] |= static_cast<std::uint32_t>(shifted >> 32);
    }
  }
  return packed;
}

// --- config.json ---

struct Group {
  const FormatSpec* spec;
  std::vector<std::string> modules;
};

bool same_scheme(const FormatSpec& a, const FormatSpec& b) {
  const bool by_group = a.granularity == Granularity::kGroup;
  return bits_of(a) == bits_of(b) && a.symmetric == b.symmetric && by_group == (b.granularity == Granularity::kGroup) &&
         (!by_group || a.group_size == b.group_size);
}

std::vector<Group> groups_of(const PackedModel& model) {
  std::vector<Group> groups;
  for (const PackedTensor& tensor : model.tensors) {
    if (!is_packed(tensor)) continue;
    const FormatSpec& spec = tensor.stored.spec;
    auto group =
        std::find_if(groups.begin(), groups.end(), [&](const Group& known) { return same_scheme(*known.spec, spec); });
    if (group == groups.end()) group = groups.insert(group, {&spec, {}});
    group->modules.push_back(module_of(tensor.name));
  }
  return groups;
}

std::string expression(const std::string& module) {
  std::string text = "re:^";
  for (const char c : module) text += c == '.' ? "\\." : std::string(1, c);
  return text + "$";
}

// "Linear" where one group has everything; else "re:….*\.q_proj$" for a kind of layer that is wholly in the group, and
// single names for the rest.
std::vector<std::string> targets_of(const Group& group, const std::vector<Group>& all) {
  if (all.size() == 1) return {"Linear"};
  std::map<std::string, std::size_t> everywhere, here;
  for (const Group& other : all) {
    for (const std::string& module : other.modules) ++everywhere[last_part(module)];
  }
  for (const std::string& module : group.modules) ++here[last_part(module)];
  std::set<std::string> targets;
  for (const std::string& module : group.modules) {
    const std::string part = last_part(module);
    targets.insert(here[part] == everywhere[part] ? "re:.*\\." + part + "$" : expression(module));
  }
  return {targets.begin(), targets.end()};
}

ordered_json scheme(const Group& group, const std::vector<Group>& all) {
  const FormatSpec& spec = *group.spec;
  const bool by_group = spec.granularity == Granularity::kGroup;
  ordered_json weights{{"num_bits", bits_of(spec)},
                       {"type", "int"},
                       {"symmetric", spec.symmetric},
                       {"strategy", by_group ? "group" : "channel"},
                       {"dynamic", false}};
  if (by_group) weights["group_size"] = spec.group_size;
  return {{"targets", targets_of(group, all)},
          {"input_activations", nullptr},
          {"output_activations", nullptr},
          {"weights", weights}};
}

ordered_json quantization_config(const PackedModel& model) {
  const std::vector<Group> groups = groups_of(model);
  ordered_json schemes = ordered_json::object();
  for (std::size_t i = 0; i < groups.size(); ++i) schemes["group_" + std::to_string(i)] = scheme(groups[i], groups);
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"quantization_status", "compressed"},
          {"ignore", modules_left_alone(model)},
          {"config_groups", schemes}};
}

std::optional<Refusal> matrix_refusal(const PackedTensor& tensor) {
  const FormatSpec& spec = tensor.stored.spec;
  if (spec.granularity != Granularity::kGroup || tensor.stored.shape[1] % spec.group_size == 0) return std::nullopt;
  return Refusal{"groups of " + std::to_string(spec.group_size) + " do not divide the " +
                     std::to_string(tensor.stored.shape[1]) + " inputs of '" + tensor.name + "'",
                 "quantization.granularity: channel works, or a quantization.group_size that divides every width"};
}

void add_matrix(const PackedTensor& tensor, NamedTensors& tensors, DeferredTensors& deferred) {
  const StoredTensor& stored = tensor.stored;
  const std::string module = module_of(tensor.name);
  const std::int64_t rows = stored.shape[0], columns = stored.shape[1];
  const std::int64_t groups = stored.spec.granularity == Granularity::kGroup ? blocks_per_row(columns, stored.spec) : 1;
  const int bits = bits_of(stored.spec);
  const auto add = [&](const char* name, std::vector<std::int64_t> shape, at::ScalarType type,
                       std::function<at::Tensor()> make) {
    tensors.emplace_back(module + name, deferred.add(shape, type, std::move(make)));
  };
  add(".weight_packed", {rows, words(columns, bits)}, at::kInt,
      [&stored, bits] { return pack_rows(unpack_levels(stored), bits); });
  add(".weight_scale", {rows, groups}, at::kHalf, [&stored, rows, groups] {
    return stored.scales.reshape({-1, groups}).expand({rows, groups}).contiguous();
  });
  add(".weight_shape", {2}, at::kLong, [rows, columns] { return at::tensor({rows, columns}, at::kLong); });
  if (stored.spec.symmetric) return;
  add(".weight_zero_point", {words(rows, bits), groups}, at::kInt, [&stored, rows, groups, bits] {
    const at::Tensor levels = stored.zero_points.to(at::kShort).sub(stored.spec.format->layout().zero).to(at::kChar);
    return pack_rows(levels.reshape({-1, groups}).expand({rows, groups}).t(), bits).t().contiguous();
  });
}

class CompressedTensorsExport : public ExportFormat {
 public:
  std::string name() const override { return "compressed-tensors"; }
  std::string place() const override { return "compressed-tensors"; }

  std::optional<Refusal> refusal(const PackedModel& model, const ExportSettings&) const override {
    if (model.config.family == Family::kGpt2)
      return Refusal{"GPT-2's layers are Conv1D, and only Linear layers are unpacked", "gguf holds GPT-2"};
    for (const PackedTensor& tensor : model.tensors) {
      if (!is_packed(tensor)) continue;
      if (auto refused = matrix_refusal(tensor)) return refused;
    }
    return std::nullopt;
  }

  std::string choice(const PackedModel& model, const ExportSettings&) const override {
    std::set<int> bits;
    for (const Group& group : groups_of(model)) bits.insert(bits_of(*group.spec));
    std::string text;
    for (const int each : bits) text += (text.empty() ? "" : " and ") + std::to_string(each);
    return "pack-quantized with " + text + " bits; inputs are not rounded";
  }

  std::uint64_t bytes(const PackedModel& model) const override {
    DeferredTensors deferred;
    return safetensors_bytes(weights(model, deferred), exported_provenance(model, std::string(64, '0')));
  }

  void write(const fs::path& to, const PackedModel& model, const ExportSettings& settings) const override {
    check_exports({name()}, model, settings);
    ordered_json config = hf_config(model.config, "float16");
    config["quantization_config"] = quantization_config(model);
    write_hf_frame(to, config, model.config, settings.model_folder, settings.tokenizer_folder);
    DeferredTensors deferred;
    const NamedTensors tensors = weights(model, deferred);
    write_hf_weights(to, tensors, deferred, settings.shard_bytes, exported_provenance(model, settings.packed_sha256));
  }

 private:
  static NamedTensors weights(const PackedModel& model, DeferredTensors& deferred) {
    NamedTensors tensors;
    for (const PackedTensor& tensor : model.tensors) {
      if (is_packed(tensor)) {
        add_matrix(tensor, tensors, deferred);
      } else {
        const auto values = [&tensor] { return dequantized_half(tensor); };
        tensors.emplace_back(tensor.name, deferred.add(tensor.stored.shape, at::kHalf, values));
      }
    }
    return tensors;
  }
};

}  // namespace

const ExportFormat& compressed_tensors_export() {
  static const CompressedTensorsExport format;
  return format;
}

}  // namespace tercet
