#include "tercet/artifact/packed_model.hpp"

#include <c10/util/accumulate.h>

#include <algorithm>
#include <map>
#include <set>

#include "contents.hpp"
#include "json_value.hpp"
#include "packed_reader.hpp"
#include "stored_check.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/memory.hpp"
#include "tercet/model_io/torch_file.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

constexpr const char* kFormat = "tercet-packed";
constexpr std::int64_t kVersion = 1;
constexpr const char* kZeroPoints = "zero_points";  // only where a tensor has some

TorchDict describe(const PackedTensor& tensor) {
  const FormatSpec& spec = tensor.stored.spec;
  TorchDict entry{{"format", spec.format->name()}};
  if (spec.format->is_grid()) {
    entry.emplace_back("granularity", to_string(spec.granularity));
    entry.emplace_back("group_size", spec.group_size);
    entry.emplace_back("rule", to_string(spec.rule));
    entry.emplace_back("symmetric", spec.symmetric);
  }
  TorchList shape;
  for (const std::int64_t dimension : tensor.stored.shape) shape.push_back(dimension);
  entry.emplace_back("shape", shape);
  entry.emplace_back("role", tensor.role);
  entry.emplace_back("input_first", tensor.input_first);
  return entry;
}

// Reads the entries of one file, naming it in every complaint.
class Reader {
 public:
  Reader(const TorchValue& root, std::string where, std::uint64_t bytes, PackedCheck check)
      : root_(root), where_(std::move(where)), bytes_(bytes), check_(check) {}

  PackedModel read() const {
    const auto* top = std::get_if<TorchDict>(&root_);
    if (top == nullptr) throw DataError("'" + where_ + "' is not a packed model", "it holds no dict");
    check_format(*top);
    PackedModel model;
    const auto& config = entry<TorchDict>(*top, "config");
    const auto& architecture = torch_entry(config, "model", where_);
    model.config = parse_model_config(to_json(architecture, where_).dump(2) + "\n", where_);
    const std::int64_t bits = entry<std::int64_t>(config, "activation_bits");
    if (bits != 8 && bits != 16) throw DataError("'" + where_ + "': activation_bits is neither 8 nor 16");
    model.activation_bits = static_cast<int>(bits);
    model.provenance = to_json(torch_entry(*top, "provenance", where_), where_);
    read_tensors(*top, model);
    return model;
  }

 private:
  template <typename Value>
  const Value& entry(const TorchDict& dict, const std::string& key) const {
    const auto* value = std::get_if<Value>(&torch_entry(dict, key, where_));
    if (value == nullptr) throw DataError("entry '" + key + "' of '" + where_ + "' is of another type than expected");
    return *value;
  }

  void check_format(const TorchDict& top) const {
    if (entry<std::string>(top, "format") != kFormat) throw DataError("'" + where_ + "' is not a packed model");
    if (const auto version = entry<std::int64_t>(top, "version"); version != kVersion) {
      throw DataError("'" + where_ + "' is of version " + std::to_string(version),
                      "this program reads version " + std::to_string(kVersion), "use a newer program");
    }
  }

  // What later versions of this program wrote more than earlier ones.
  template <typename Value>
  Value entry_or(const TorchDict& dict, const std::string& key, Value otherwise) const {
    return has(dict, key) ? entry<Value>(dict, key) : otherwise;
  }

  static bool has(const TorchDict& dict, const std::string& key) {
    return std::any_of(dict.begin(), dict.end(), [&](const auto& item) { return item.first == key; });
  }

  std::map<std::string, at::Tensor> tensors_of(const TorchDict& top, const std::string& key) const {
    std::map<std::string, at::Tensor> tensors;
    const auto& dict = entry<TorchDict>(top, key);
    for (const auto& [name, value] : dict) {
      const auto* tensor = std::get_if<at::Tensor>(&value);
      if (tensor == nullptr) throw DataError("entry '" + name + "' of '" + where_ + "' is not a tensor");
      tensors[name] = *tensor;
    }
    return tensors;
  }

  void read_tensors(const TorchDict& top, PackedModel& model) const {
    const auto codes = tensors_of(top, "state_dict");
    const auto scales = tensors_of(top, "scale_factors");
    const auto zero_points = has(top, kZeroPoints) ? tensors_of(top, kZeroPoints) : std::map<std::string, at::Tensor>();
    std::set<std::string> described;
    std::uint64_t bytes = 0;
    for (const auto& [name, value] : entry<TorchDict>(top, "quantization")) {
      const auto* description = std::get_if<TorchDict>(&value);
      if (description == nullptr) throw DataError("'" + where_ + "': quantization of '" + name + "' is no dict");
      PackedTensor tensor = read_description(name, *description);
      if (codes.contains(name)) tensor.stored.codes = codes.at(name);
      if (scales.contains(name)) tensor.stored.scales = scales.at(name);
      if (zero_points.contains(name)) tensor.stored.zero_points = zero_points.at(name);
      check_packed_tensor(tensor, where_, check_);
      bytes += stored_bytes(tensor.stored);
      give_back_freed_memory(sizeof(float) * static_cast<std::uint64_t>(c10::multiply_integers(tensor.stored.shape)));
      // Tensors that share memory would be small here and large once decoded.
      if (bytes > bytes_) throw DataError("'" + where_ + "' describes more codes than it holds");
      described.insert(name);
      model.tensors.push_back(std::move(tensor));
    }
    for (const auto* tensors : {&codes, &scales, &zero_points}) {
      for (const auto& [name, tensor] : *tensors) {
        if (!described.contains(name)) throw DataError("tensor '" + name + "' of '" + where_ + "' is not described");
      }
    }
  }

  PackedTensor read_description(const std::string& name, const TorchDict& description) const {
    PackedTensor tensor;
    tensor.name = name;
    tensor.role = entry<std::string>(description, "role");
    tensor.input_first = entry<bool>(description, "input_first");
    tensor.stored.spec = read_spec(description);
    for (const auto& dimension : entry<TorchList>(description, "shape")) {
      const auto* size = std::get_if<std::int64_t>(&dimension);
      if (size == nullptr) throw DataError("tensor '" + name + "' of '" + where_ + "' has a malformed shape");
      tensor.stored.shape.push_back(*size);
    }
    return tensor;
  }

  // The first artifacts say no more of int8 than its name: a scale for each row.
  FormatSpec read_spec(const TorchDict& description) const {
    FormatSpec spec;
    spec.format = number_format(entry<std::string>(description, "format"));
    if (!spec.format->is_grid()) return spec;
    spec.granularity = granularity(entry_or<std::string>(description, "granularity", "channel"));
    spec.group_size = entry_or<std::int64_t>(description, "group_size", 0);
    spec.rule = scale_rule(entry_or<std::string>(description, "rule", "min_max"));
    spec.symmetric = entry_or<bool>(description, "symmetric", true);
    return spec;
  }

  const TorchValue& root_;
  std::string where_;
  std::uint64_t bytes_;  // of the file
  PackedCheck check_;
};

}  // namespace

TorchDict packed_content(const PackedModel& model) {
  TorchDict quantization, codes, scales, zero_points;
  for (const PackedTensor& tensor : model.tensors) {
    quantization.emplace_back(tensor.name, describe(tensor));
    codes.emplace_back(tensor.name, tensor.stored.codes);
    if (tensor.stored.scales.defined()) scales.emplace_back(tensor.name, tensor.stored.scales);
    if (tensor.stored.zero_points.defined()) zero_points.emplace_back(tensor.name, tensor.stored.zero_points);
  }
  const auto architecture = nlohmann::ordered_json::parse(model.config.json);
  const TorchDict config{{"model", to_torch(architecture)}, {"activation_bits", std::int64_t{model.activation_bits}}};
  TorchDict content{{"format", std::string(kFormat)}, {"version", kVersion}, {"config", config},
                    {"quantization", quantization},   {"state_dict", codes}, {"scale_factors", scales}};
  if (!zero_points.empty()) content.emplace_back(kZeroPoints, zero_points);
  content.emplace_back("provenance", to_torch(model.provenance));
  return content;
}

void write_packed_model(const std::filesystem::path& file, const PackedModel& model) {
  std::set<std::string> names;
  for (const PackedTensor& tensor : model.tensors) {
    check_packed_tensor(tensor, file.string());
    if (!names.insert(tensor.name).second) {
      throw DataError("tensor '" + tensor.name + "' would be twice in '" + file.string() + "'");
    }
  }
  write_torch_file(file, packed_content(model));
}

PackedModel read_packed_model(const std::filesystem::path& file, PackedCheck check) {
  const TorchValue root = read_torch_file(file);  // says what is wrong with a file that is not there
  return packed_model_of(root, file.string(), std::filesystem::file_size(file), check);
}

PackedModel packed_model_of(const TorchValue& root, const std::string& where, std::uint64_t bytes, PackedCheck check) {
  return Reader(root, where, bytes, check).read();
}

}  // namespace tercet
