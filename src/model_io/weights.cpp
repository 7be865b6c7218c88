#include "tercet/model_io/weights.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "dtype.hpp"
#include "safetensors.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
constexpr std::uintmax_t kMaxIndexBytes = 256 << 20;

// pytorch_model.bin: a flat dict of tensors.
class TorchWeights final : public WeightSource {
 public:
  explicit TorchWeights(const fs::path& file) : file_(file), bytes_(fs::file_size(file)) {
    const TorchValue value = read_torch_file(file);
    const auto* dict = std::get_if<TorchDict>(&value);
    if (dict == nullptr) throw DataError("'" + file.string() + "' holds no dict of tensors");
    for (const auto& [name, entry] : *dict) add(name, entry);
  }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor tensor(const std::string& name) const override {
    const auto found = values_.find(name);
    if (found == values_.end()) {
      throw DataError("tensor '" + name + "' is missing", "'" + file_.string() + "' does not hold it");
    }
    return found->second;
  }
  std::uint64_t bytes() const override { return bytes_; }
  std::vector<fs::path> files() const override { return {file_}; }

 private:
  void add(const std::string& name, const TorchValue& entry) {
    const auto* tensor = std::get_if<at::Tensor>(&entry);
    if (tensor == nullptr) {
      throw DataError("entry '" + name + "' of '" + file_.string() + "' is not a tensor",
                      "a flat state dict is expected", "save model.state_dict() itself, or use safetensors");
    }
    values_[name] = *tensor;
    tensors_[name] = {safetensors_name(tensor->scalar_type()), tensor->sizes().vec(), file_};
  }

  fs::path file_;
  std::uint64_t bytes_;
  std::map<std::string, at::Tensor> values_;
  std::map<std::string, TensorInfo> tensors_;
};

std::unique_ptr<WeightSource> open_file(const fs::path& file) {
  if (file.extension() == ".safetensors") return open_safetensors(file);
  return open_state_dict(file);
}

// Several files behind an index {"weight_map": {tensor: file}}.
class ShardedWeights final : public WeightSource {
 public:
  explicit ShardedWeights(const fs::path& index) : index_(index) {
    const nlohmann::json object = parse_json_object(read_file(index, kMaxIndexBytes), index.string());
    const auto map = object.find("weight_map");
    if (map == object.end() || !map->is_object()) {
      throw DataError("'" + index.string() + "' has no 'weight_map' from tensor to file");
    }
    for (const auto& [name, file] : map->items()) {
      if (!file.is_string()) fail(name, "its file name is not a string");
      add(name, file.get<std::string>());
    }
    check_listed();
  }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor tensor(const std::string& name) const override {
    const auto found = home_.find(name);
    if (found == home_.end()) {
      throw DataError("tensor '" + name + "' is missing", "'" + index_.string() + "' does not list it");
    }
    return found->second->tensor(name);
  }
  std::uint64_t bytes() const override {
    std::uint64_t sum = 0;
    for (const auto& [file, shard] : shards_) sum += shard->bytes();
    return sum;
  }
  std::vector<fs::path> files() const override {
    std::vector<fs::path> all;
    for (const auto& [file, shard] : shards_) all.push_back(shard->files().front());
    return all;
  }

 private:
  [[noreturn]] void fail(const std::string& name, const std::string& reason) const {
    throw DataError("tensor '" + name + "' of '" + index_.string() + "' cannot be found", reason,
                    "the index and its files do not belong together, or a file is missing");
  }
  void add(const std::string& name, const std::string& file) {
    auto& shard = shards_[file];
    if (!shard) {
      const fs::path path = path_inside(index_.parent_path(), file);
      if (!fs::exists(path)) fail(name, path.string() + " does not exist");
      shard = open_file(path);
    }
    const auto info = shard->tensors().find(name);
    if (info == shard->tensors().end()) fail(name, "'" + file + "' does not hold it");
    tensors_[name] = info->second;
    home_[name] = shard.get();
  }
  // A tensor in a file that the index does not know hints at an index of another model.
  void check_listed() const {
    for (const auto& [file, shard] : shards_) {
      for (const auto& [name, info] : shard->tensors()) {
        if (!home_.contains(name)) fail(name, "'" + file + "' holds it, but the index does not list it");
      }
    }
  }

  fs::path index_;
  std::map<std::string, std::unique_ptr<WeightSource>> shards_;
  std::map<std::string, const WeightSource*> home_;
  std::map<std::string, TensorInfo> tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> open_state_dict(const fs::path& file) {
  return std::make_unique<TorchWeights>(file);
}

std::unique_ptr<WeightSource> open_weights(const fs::path& folder) {
  for (const std::string name : {"model.safetensors", "pytorch_model.bin"}) {
    if (fs::exists(folder / name)) return open_file(folder / name);
    const fs::path index = folder / (name + ".index.json");
    if (fs::exists(index)) return std::make_unique<ShardedWeights>(index);
  }
  throw DataError("model folder '" + folder.string() + "' has no weights",
                  "looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin, "
                  "pytorch_model.bin.index.json",
                  "GGUF, TensorFlow and Flax files are not read");
}

}  // namespace tercet
