// model.gguf: for llama.cpp and what is built on it.
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "export_table.hpp"
#include "gguf_blocks.hpp"
#include "gguf_file.hpp"
#include "gguf_model.hpp"
#include "hf_files.hpp"
#include "model_parts.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/text/special_tokens.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kF32 = 0, kF16 = 1;
constexpr std::uint32_t kMostlyF16 = 1;  // general.file_type

// The type for a tensor on a grid whose trits go into `trits`.
const BlockType& grid_type(const StoredTensor& stored, const BlockType& trits) {
  if (is_trits(stored)) return trits;
  const int lowest = stored.spec.format->levels(true).lowest;
  return lowest >= kQ2_0.lowest - 1 ? kQ2_0 : lowest >= kQ4_0.lowest ? kQ4_0 : kQ8_0;
}

// Why a matrix inside the blocks does not fit; "" if all do.
std::optional<Refusal> first_misfit(const PackedModel& model, const BlockType& trits) {
  for (const PackedTensor& tensor : model.tensors) {
    if (!is_block_matrix(tensor) || !tensor.stored.spec.format->is_grid()) continue;
    const BlockType& type = grid_type(tensor.stored, trits);
    const std::string problem = misfit(tensor.stored, type);
    if (problem.empty()) continue;
    const std::string works =
        !tensor.stored.spec.symmetric ? "quantization.symmetric: true works"
        : tensor.stored.shape[1] % type.values != 0
            ? "quantization.skip: ['" + tensor.name + "'] stores it as fp16"
            : "quantization.granularity: channel works, or groups of a multiple of " + std::to_string(type.values);
    return Refusal{"of '" + tensor.name + "': " + problem, works};
  }
  return std::nullopt;
}

bool has_trits(const PackedModel& model) {
  return std::any_of(model.tensors.begin(), model.tensors.end(),
                     [](const PackedTensor& tensor) { return is_block_matrix(tensor) && is_trits(tensor.stored); });
}

// TQ2_0 is the smallest that is read fast; where its wide blocks do not fit, Q2_0's do.
const BlockType& trit_type(const PackedModel& model, const ExportSettings& settings) {
  for (const BlockType* type : {&kTq1_0, &kTq2_0, &kQ2_0}) {
    std::string name = type->name;
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name == settings.gguf_type) return *type;
  }
  return first_misfit(model, kTq2_0) ? kQ2_0 : kTq2_0;
}

std::uint32_t file_type(const PackedModel& model, const BlockType& trits) {
  for (const PackedTensor& tensor : model.tensors) {
    if (is_block_matrix(tensor) && tensor.stored.spec.format->is_grid())
      return grid_type(tensor.stored, trits).file_type;
  }
  return kMostlyF16;
}

// The type of a tensor, or null: plain values.
const BlockType* block_type(const PackedTensor& tensor, const BlockType& trits) {
  if (!tensor.stored.spec.format->is_grid()) return nullptr;
  const BlockType& type = grid_type(tensor.stored, trits);
  return misfit(tensor.stored, type).empty() ? &type : nullptr;
}

// Vectors, and the positions that are added to an embedding, are read as F32 alone.
bool as_float(const PackedTensor& tensor) {
  return tensor.stored.shape.size() == 1 || tensor.role == "position_embedding";
}

at::Tensor plain_values(const PackedTensor& tensor, const std::vector<std::int64_t>& order) {
  at::Tensor values = dequantize(tensor.stored);
  if (!order.empty()) values = values.index_select(0, at::tensor(order, at::kLong));
  return values.to(as_float(tensor) ? at::kFloat : at::kHalf).contiguous();
}

GgufTensor gguf_tensor(const PackedModel& model, const PackedTensor& tensor, const BlockType& trits) {
  GgufTensor entry;
  entry.name = gguf_name(model.config, tensor.name);
  entry.shape = tensor.stored.shape;
  const std::vector<std::int64_t> order = gguf_row_order(model.config, entry.name);
  if (const BlockType* type = block_type(tensor, trits)) {
    entry.type = type->id;
    entry.bytes = block_bytes(entry.shape, *type);
    entry.make = [&tensor, type, order] { return encode_blocks(tensor.stored, *type, order); };
    return entry;
  }
  std::uint64_t bytes = as_float(tensor) ? 4 : 2;
  for (const std::int64_t size : entry.shape) bytes *= static_cast<std::uint64_t>(size);
  entry.type = as_float(tensor) ? kF32 : kF16;
  entry.bytes = bytes;
  entry.make = [&tensor, order] { return plain_values(tensor, order); };
  return entry;
}

void add_tensors(const PackedModel& model, const BlockType& trits, GgufFile& file) {
  for (const PackedTensor& tensor : model.tensors) file.tensors.push_back(gguf_tensor(model, tensor, trits));
  const std::vector<float> factors = rope_factors(model.config);
  if (factors.empty()) return;
  const auto size = static_cast<std::int64_t>(factors.size());
  file.tensors.push_back({"rope_freqs.weight", {size}, kF32, factors.size() * sizeof(float), [factors] {
                            return at::tensor(factors, at::kFloat);
                          }});
}

void add_tokenizer(const PackedModel& model, const fs::path& folder, GgufFile& file) {
  const auto tokenizer = open_tokenizer(folder);
  const SpecialTokens special = read_special_tokens(folder, *tokenizer);
  const auto contains = [](const auto& ids, std::int64_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  GgufTokenIds ids{special.bos, tokenizer->eos_token()};
  ids.add_bos = contains(special.before, ids.bos);
  ids.add_eos = contains(special.after, ids.eos);
  set_tokenizer_keys(read_vocabulary(folder), ids, model.config.vocab_size, file);
  const std::string chat = read_chat_template(folder);
  if (!chat.empty()) file.set("tokenizer.chat_template", chat);
}

class GgufExport : public ExportFormat {
 public:
  std::string name() const override { return "gguf"; }
  std::string place() const override { return "model.gguf"; }

  std::optional<Refusal> refusal(const PackedModel& model, const ExportSettings& settings) const override {
    if (auto refused = architecture_refusal(model.config)) return refused;
    if (auto refused = first_misfit(model, trit_type(model, settings))) return refused;
    try {
      read_vocabulary(settings.tokenizer_folder);
    } catch (const DataError& error) {
      return Refusal{error.what(), ""};
    }
    return std::nullopt;
  }

  std::string choice(const PackedModel& model, const ExportSettings& settings) const override {
    if (!has_trits(model)) return "levels go into the narrowest type that holds them";
    const BlockType& type = trit_type(model, settings);
    const std::string name = type.name;
    if (settings.gguf_type != "auto") return name + ", as export.gguf_type says";
    if (&type == &kTq2_0) return name + ": every width and group is a multiple of its 256 values";
    return name + ", since TQ2_0 does not fit: " + first_misfit(model, kTq2_0)->reason;
  }

  std::uint64_t bytes(const PackedModel& model) const override {
    std::uint64_t bytes = 0;
    for (const PackedTensor& tensor : model.tensors) bytes += gguf_tensor(model, tensor, kQ2_0).bytes;
    return bytes;
  }

  void write(const fs::path& to, const PackedModel& model, const ExportSettings& settings) const override {
    check_exports({name()}, model, settings);
    const BlockType& trits = trit_type(model, settings);
    GgufFile file;
    set_model_keys(model.config, file);
    file.set("general.file_type", file_type(model, trits));
    file.set("general.quantization_version", std::uint32_t{2});
    file.set("tercet.choice", choice(model, settings));
    for (const auto& [key, value] : exported_provenance(model, settings.packed_sha256)) file.set(key, value);
    add_tokenizer(model, settings.tokenizer_folder, file);
    add_tensors(model, trits, file);
    write_gguf(to, file);
  }
};

}  // namespace

const ExportFormat& gguf_export() {
  static const GgufExport format;
  return format;
}

}  // namespace tercet
