// What is made from the packed model for other programs: the dequantized state dict and the Hugging Face folder.
#include <algorithm>
#include <array>
#include <string_view>

#include "contents.hpp"
#include "json_value.hpp"
#include "stored_check.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::array<std::string_view, 5> kReadBefore{"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt",
                                                      "tokenizer_config.json"};
constexpr std::array<std::string_view, 2> kNotRead{"special_tokens_map.json", "added_tokens.json"};

at::Tensor dequantized_half(const PackedTensor& tensor) {
  const at::Tensor values = dequantize(tensor.stored).to(at::kHalf);
  return tensor.input_first ? values.t().contiguous() : values.contiguous();
}

// Every parameter of a model as fp16 under its Hugging Face name and layout, dequantized when it is written.
struct Dequantized {
  explicit Dequantized(const PackedModel& model) {
    for (const PackedTensor& tensor : model.tensors) {
      std::vector<std::int64_t> shape = tensor.stored.shape;
      if (tensor.input_first) std::reverse(shape.begin(), shape.end());
      tensors.emplace_back(tensor.name, values.add(shape, at::kHalf, [&tensor] { return dequantized_half(tensor); }));
    }
  }
  DeferredTensors values;
  NamedTensors tensors;
};

void copy_unread(const fs::path& from, const std::string& name, const fs::path& to) {
  if (!copy_inside(from, name, to)) {
    log::warn("'" + (from / name).string() + "' is a link out of its folder and is not copied");
  }
}

std::string export_config(const ModelConfig& config) {
  ordered_json json = ordered_json::parse(config.json);
  // transformers 5 says dtype, version 4 torch_dtype; a reader of either must not meet the old value.
  const bool modern = json.contains("dtype");
  if (modern) json["dtype"] = "float16";
  if (!modern || json.contains("torch_dtype")) json["torch_dtype"] = "float16";
  return json.dump(2) + "\n";
}

std::string generation_config(const ModelConfig& config) {
  ordered_json json{{"_from_model_config", true}};
  if (config.bos_token >= 0) json["bos_token_id"] = config.bos_token;
  if (config.eos_token >= 0) json["eos_token_id"] = config.eos_token;
  return json.dump(2) + "\n";
}

void copy_tokenizer_files(const fs::path& from, const fs::path& to) {
  const auto in = [](const auto& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file()) continue;
    if (in(kReadBefore, name)) {
      write_file_atomically(to / name, MappedFile(entry.path()).text());
    } else if (in(kNotRead, name) || name.starts_with("chat_template")) {
      copy_unread(from, name, to);
    }
  }
}

}  // namespace

TorchDict dequantized_content(const PackedModel& model, const NamedTensors& tensors) {
  const PackedTensor* tied = tied_embedding(model);
  TorchDict state;
  at::Tensor head;
  for (const auto& [name, tensor] : tensors) {
    if (tied != nullptr && name == tied->name) head = tensor;
    state.emplace_back(name, tensor);
  }
  if (tied != nullptr) state.emplace_back(exported_head_name(model.config.family), head);
  return state;
}

void write_dequantized_pt(const fs::path& file, const PackedModel& model) {
  const Dequantized dequantized(model);
  write_torch_file(file, dequantized_content(model, dequantized.tensors), dequantized.values);
}

void write_hf_folder(const fs::path& folder, const PackedModel& model, const fs::path& model_folder,
                     const fs::path& tokenizer_folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw StoreError("cannot create folder '" + folder.string() + "'", error.message());
  write_file_atomically(folder / "config.json", export_config(model.config));
  const Dequantized dequantized(model);
  write_safetensors(folder / "model.safetensors", dequantized.tensors, {}, dequantized.values);
  if (fs::exists(model_folder / "generation_config.json")) {
    copy_unread(model_folder, "generation_config.json", folder);
  } else {
    write_file_atomically(folder / "generation_config.json", generation_config(model.config));
  }
  if (!fs::is_directory(tokenizer_folder)) {
    throw DataError("tokenizer folder '" + tokenizer_folder.string() + "' cannot be copied", "it is not a folder");
  }
  copy_tokenizer_files(tokenizer_folder, folder);
}

}  // namespace tercet
