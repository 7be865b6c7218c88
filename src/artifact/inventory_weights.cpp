// Inventories of tensors by name: Hugging Face folders with plain and with quantized weights, and state dicts.
#include <ATen/ops/bitwise_and.h>

#include <algorithm>
#include <map>
#include <memory>
#include <regex>
#include <utility>

#include "compressed_tensors_view.hpp"
#include "inventory_parts.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/memory.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uintmax_t kMaxFolderConfigBytes = 16 << 20;
constexpr const char* kPackedEnding = ".weight_packed";

// Takes the tensors that stand for a quantized matrix together; what is left over is plain.
class WeightInventory {
 public:
  WeightInventory(std::unique_ptr<WeightSource> source, std::string where, json settings)
      : source_(std::move(source)),
        where_(std::move(where)),
        settings_(std::move(settings)),
        left_(source_->tensors()) {}

  std::vector<InventoryEntry> take() {
    const std::string method = settings_.value("quant_method", "");
    if (method == "bitnet") take_bitnet();
    if (method == "compressed-tensors") take_compressed();
    while (!left_.empty()) take_plain(left_.begin()->first);
    std::sort(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return std::move(entries_);
  }

 private:
  [[noreturn]] void fail(const std::string& name, const std::string& reason) const {
    throw DataError("'" + name + "' of '" + where_ + "' cannot be understood", reason,
                    "the file is damaged, or its other tensors are in another file of the folder");
  }

  InventoryEntry start(const std::string& name, const std::string& format, std::vector<std::int64_t> shape) const {
    heartbeat::beat();
    InventoryEntry entry;
    entry.name = name;
    entry.format = format;
    entry.shape = std::move(shape);
    return entry;
  }

  bool has(const std::string& name) const { return left_.contains(name); }

  // A tensor that `entry` is made of.
  at::Tensor part(InventoryEntry& entry, const std::string& name, at::IntArrayRef dimensions) {
    if (left_.erase(name) == 0) fail(entry.name, "there is no '" + name + "'");
    const at::Tensor tensor = source_->tensor(name).contiguous();
    for (std::size_t i = 0; i < dimensions.size(); ++i) {
      const bool fits = tensor.dim() == static_cast<std::int64_t>(dimensions.size()) && tensor.size(i) == dimensions[i];
      if (!fits) fail(entry.name, "'" + name + "' has another shape than the matrix");
    }
    entry.bytes += tensor.nbytes();
    return tensor;
  }

  void take_plain(const std::string name) {
    const TensorInfo info = left_.at(name);
    InventoryEntry entry = start(name, info.dtype, info.shape);
    const at::Tensor tensor = part(entry, name, {});
    // Only PyTorch's files can have tensors that share memory, such as a tied head.
    if (info.file.extension() != ".safetensors" && tensor.numel() > 0) {
      entry.shared_with = owners_.emplace(tensor.const_data_ptr(), name).first->second;
      if (entry.shared_with == name) entry.shared_with.clear();
      if (!entry.shared_with.empty()) entry.bytes = 0;
    }
    entries_.push_back(std::move(entry));
  }

  // Four rows to a byte, of which the first quarter has the lowest bits; one scale, or its inverse, for the matrix.
  void take_bitnet() {
    std::vector<std::string> names;
    for (const auto& [name, info] : left_) {
      if (info.dtype == "U8" && info.shape.size() == 2 && has(name + "_scale")) names.push_back(name);
    }
    for (const std::string& name : names) {
      const std::vector<std::int64_t> shape = left_.at(name).shape;
      InventoryEntry entry = start(name, "ternary", {4 * shape[0], shape[1]});
      const at::Tensor bytes = part(entry, name, shape);
      const at::Tensor scale = part(entry, name + "_scale", {}).to(at::kFloat);
      std::int64_t zeros = 0;
      for (int bit = 0; bit < 8; bit += 2)
        zeros += at::bitwise_and(bytes, 3 << bit).eq(1 << bit).sum().item<std::int64_t>();
      give_back_freed_memory(2 * bytes.nbytes());
      const bool divides = settings_.value("linear_class", "bitlinear") == "bitlinear";
      entry.sparsity = share(zeros, entry.elements());
      entry.scales = histogram_of(divides ? scale.reciprocal() : scale, name, where_);
      entries_.push_back(std::move(entry));
    }
  }

  void take_compressed() {
    if (settings_.value("format", "") != "pack-quantized") {
      throw DataError("'" + where_ + "' is of a kind of compressed-tensors that is not read",
                      "its format is '" + settings_.value("format", "") + "'", "'pack-quantized' is read");
    }
    std::vector<std::string> modules;
    for (const auto& [name, info] : left_) {
      if (name.ends_with(kPackedEnding)) modules.push_back(name.substr(0, name.rfind('.')));
    }
    for (const std::string& module : modules) {
      const auto schemes = compressed_tensors_check::schemes_of(settings_, module);
      if (schemes.size() != 1) fail(module, "config.json has " + std::to_string(schemes.size()) + " schemes for it");
      entries_.push_back(compressed_entry(module, schemes.front()));
    }
  }

  InventoryEntry compressed_entry(const std::string& module, const compressed_tensors_check::Scheme& scheme) {
    InventoryEntry entry = start(module + ".weight", "int" + std::to_string(scheme.bits), {});
    const at::Tensor shape = part(entry, module + ".weight_shape", {2});
    const at::Tensor packed = part(entry, module + kPackedEnding, {});
    if (shape.scalar_type() != at::kLong || packed.scalar_type() != at::kInt || packed.dim() != 2)
      fail(entry.name, "its parts are not of the types of 'pack-quantized'");
    const std::int64_t rows = shape.const_data_ptr<std::int64_t>()[0], width = packed.size(1);
    const std::int64_t columns = shape.const_data_ptr<std::int64_t>()[1];
    const bool fits =
        rows == packed.size(0) && columns > 0 && columns <= 32 * width && (columns * scheme.bits + 31) / 32 == width;
    if (!fits) fail(entry.name, "its weight_shape is not that of its codes");
    const std::int64_t group = scheme.group_size == 0 ? columns : scheme.group_size;
    if (columns % group != 0) fail(entry.name, "its groups do not divide its rows");
    const std::int64_t groups = columns / group;
    entry.shape = {rows, columns};
    entry.scales = histogram_of(part(entry, module + ".weight_scale", {rows, groups}), entry.name, where_);
    at::Tensor zero_points;
    if (!scheme.symmetric) {
      zero_points = part(entry, module + ".weight_zero_point", {(rows * scheme.bits + 31) / 32, groups});
      if (zero_points.scalar_type() != at::kInt) fail(entry.name, "its zero points are not of the type I32");
    }
    entry.sparsity = share(count_zeros(packed, zero_points, scheme.bits, {rows, columns}, group), rows * columns);
    return entry;
  }

  static std::int64_t count_zeros(const at::Tensor& packed, const at::Tensor& zero_points, std::int64_t bits,
                                  std::pair<std::int64_t, std::int64_t> shape, std::int64_t group) {
    using compressed_tensors_check::code_at;
    const auto [rows, columns] = shape;
    const std::int64_t groups = columns / group, width = packed.size(1);
    const auto* word = packed.const_data_ptr<std::int32_t>();
    const auto* points = zero_points.defined() ? zero_points.const_data_ptr<std::int32_t>() : nullptr;
    std::int64_t zeros = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      if (i % 1024 == 0) heartbeat::beat();
      for (std::int64_t g = 0; g < groups; ++g) {
        const std::int64_t zero = points ? code_at(points + g, groups, i, bits) : std::int64_t{1} << (bits - 1);
        for (std::int64_t j = g * group; j < (g + 1) * group; ++j)
          zeros += code_at(word + i * width, 1, j, bits) == zero;
      }
    }
    return zeros;
  }

  std::unique_ptr<WeightSource> source_;
  std::string where_;
  json settings_;  // quantization_config
  std::map<std::string, TensorInfo> left_;
  std::map<const void*, std::string> owners_;  // of memory, by the first name
  std::vector<InventoryEntry> entries_;
};

struct FolderConfig {
  json settings = json::object();  // quantization_config
  ModelConfig model;
};

FolderConfig read_folder_config(const fs::path& folder) {
  const std::string where = (folder / "config.json").string();
  json config = parse_json_object(read_file(folder / "config.json", kMaxFolderConfigBytes), where);
  FolderConfig read;
  if (const auto found = config.find("quantization_config"); found != config.end()) {
    read.settings = *found;
    const std::string method = read.settings.is_object() ? read.settings.value("quant_method", "") : "";
    if (method != "bitnet" && method != "compressed-tensors") {
      throw DataError("'" + where + "' describes weights that are quantized in an unknown way",
                      "its quant_method is '" + method + "'", "bitnet and compressed-tensors are read");
    }
    config.erase(found);  // with it the model would be refused as a job's input
  }
  read.model = parse_model_config(config.dump(), where);
  return read;
}

Inventory inventory_of_weights(std::unique_ptr<WeightSource> source, const fs::path& path, const FolderConfig& config) {
  const std::string method = config.settings.value("quant_method", "");
  const std::string name = method == "bitnet" ? "hf-bitnet" : method.empty() ? "huggingface" : method;
  const std::string family = to_string(config.model.family) + " model";
  Inventory inventory{
      name, method.empty() ? family : name + " " + family, {{"config", summary_of(config.model)}}, source->bytes()};
  inventory.entries = WeightInventory(std::move(source), path.string(), config.settings).take();
  return inventory;
}

// Runs `take` and names config.json where its settings are not what they should be.
template <typename Take>
Inventory with_config_of(const fs::path& folder, Take take) {
  const std::string where = "'" + (folder / "config.json").string() + "' cannot be understood";
  try {
    return take(read_folder_config(folder));
  } catch (const json::exception& error) {
    throw DataError(where, error.what());
  } catch (const std::regex_error& error) {
    throw DataError(where, std::string("a target is no expression: ") + error.what());
  }
}

bool is_shard(const fs::path& file) {
  return fs::exists(file.parent_path() / "model.safetensors.index.json") ||
         fs::exists(file.parent_path() / "pytorch_model.bin.index.json");
}

}  // namespace

Inventory inventory_of_folder(const fs::path& folder) {
  return with_config_of(
      folder, [&](const FolderConfig& config) { return inventory_of_weights(open_weights(folder), folder, config); });
}

Inventory inventory_of_state_dict(const fs::path& file) {
  auto source = open_state_dict(file);
  Inventory inventory{"state-dict", "state dict", json::object(), source->bytes(), !is_shard(file)};
  inventory.entries = WeightInventory(std::move(source), file.string(), json::object()).take();
  return inventory;
}

Inventory inventory_of_safetensors(const fs::path& file) {
  const fs::path folder = file.parent_path();
  if (!fs::exists(folder / "config.json")) {
    auto source = open_safetensors(file);
    Inventory inventory{"huggingface", "safetensors file", json::object(), source->bytes(), !is_shard(file)};
    inventory.entries = WeightInventory(std::move(source), file.string(), json::object()).take();
    return inventory;
  }
  Inventory inventory = with_config_of(
      folder, [&](const FolderConfig& config) { return inventory_of_weights(open_safetensors(file), file, config); });
  inventory.whole = !is_shard(file);
  return inventory;
}

}  // namespace tercet
