// hf-bitnet/: trits as transformers' BitLinear layers have them ("quant_method": "bitnet").
//
// `weight` is uint8 [out / 4, in]: with n = out / 4, byte (r, c) holds the codes (trit + 1) of rows r, r + n, r + 2 n
// and r + 3 n of column c, two bits each, the lowest first. `weight_scale` is float32 [1]. BitLinear *divides* by it,
// so it is the inverse of our scale; AutoBitLinear would multiply, which "linear_class" therefore rules out.
#include <ATen/ops/full.h>

#include "export_table.hpp"
#include "hf_files.hpp"
#include "model_parts.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

at::Tensor bitnet_codes(const PackedTensor& tensor) {
  const at::Tensor codes = unpack_levels(tensor.stored).add(1).to(at::kByte);
  const std::int64_t quarter = codes.size(0) / 4;
  at::Tensor packed = codes.narrow(0, 0, quarter).clone();
  for (int k = 1; k < 4; ++k) packed.add_(codes.narrow(0, k * quarter, quarter), 1 << 2 * k);
  return packed;
}

// Of an all-zero matrix the scale may be 0: then any other says the same.
at::Tensor bitnet_scale(const PackedTensor& tensor) {
  const float scale = tensor.stored.scales.to(at::kFloat).item<float>();
  return at::full({1}, scale == 0 ? 1.0F : 1 / scale, at::kFloat);
}

ordered_json bitnet_config(const PackedModel& model) {
  // Scales are read in the model's type, and fp16 would round their inverse.
  ordered_json config = hf_config(model.config, "float32");
  config["quantization_config"] = {{"quant_method", "bitnet"},
                                   {"linear_class", "bitlinear"},
                                   {"quantization_mode", "offline"},
                                   // Whole names mean one module, in a comparison by beginnings or endings.
                                   {"modules_to_not_convert", modules_left_alone(model)}};
  return config;
}

std::optional<Refusal> matrix_refusal(const PackedTensor& tensor) {
  const StoredTensor& stored = tensor.stored;
  if (!is_trits(stored)) {
    return Refusal{"'" + tensor.name + "' is " + stored.spec.format->name() + ", and only trits are packed",
                   "compressed-tensors holds integers"};
  }
  if (stored.spec.granularity != Granularity::kTensor) {
    return Refusal{"'" + tensor.name + "' has a scale for each " + to_string(stored.spec.granularity) +
                       ", and BitLinear has one for a matrix",
                   "quantization.granularity: tensor works"};
  }
  if (stored.shape[0] % 4 != 0) {
    return Refusal{"the " + std::to_string(stored.shape[0]) + " rows of '" + tensor.name +
                       "' are no multiple of 4, which share a byte",
                   "quantization.skip: ['" + tensor.name + "'] stores it as fp16"};
  }
  return std::nullopt;
}

class HfBitnetExport : public ExportFormat {
 public:
  std::string name() const override { return "hf-bitnet"; }
  std::string place() const override { return "hf-bitnet"; }

  std::optional<Refusal> refusal(const PackedModel& model, const ExportSettings&) const override {
    if (model.config.family == Family::kGpt2)
      return Refusal{"GPT-2's layers are Conv1D, and only Linear layers become BitLinear", "gguf holds GPT-2"};
    if (model.activation_bits != 8)
      return Refusal{"BitLinear rounds its inputs to int8", "quantization.activation_bits: 8 works"};
    for (const PackedTensor& tensor : model.tensors) {
      if (!is_packed(tensor)) continue;
      if (auto refused = matrix_refusal(tensor)) return refused;
    }
    return std::nullopt;
  }

  std::string choice(const PackedModel&, const ExportSettings&) const override {
    return "BitLinear, which divides by the inverse scale and adds biases last";
  }

  std::uint64_t bytes(const PackedModel& model) const override {
    DeferredTensors deferred;
    return safetensors_bytes(weights(model, deferred), exported_provenance(model, std::string(64, '0')));
  }

  void write(const fs::path& to, const PackedModel& model, const ExportSettings& settings) const override {
    check_exports({name()}, model, settings);
    write_hf_frame(to, bitnet_config(model), model.config, settings.model_folder, settings.tokenizer_folder);
    DeferredTensors deferred;
    const NamedTensors tensors = weights(model, deferred);
    write_hf_weights(to, tensors, deferred, settings.shard_bytes, exported_provenance(model, settings.packed_sha256));
  }

 private:
  static NamedTensors weights(const PackedModel& model, DeferredTensors& deferred) {
    NamedTensors tensors;
    for (const PackedTensor& tensor : model.tensors) {
      std::vector<std::int64_t> shape = tensor.stored.shape;
      if (is_packed(tensor)) {
        const auto codes = [&tensor] { return bitnet_codes(tensor); };
        tensors.emplace_back(tensor.name, deferred.add({shape[0] / 4, shape[1]}, at::kByte, codes));
        const auto scale = [&tensor] { return bitnet_scale(tensor); };
        tensors.emplace_back(tensor.name + "_scale", deferred.add({1}, at::kFloat, scale));
      } else {
        const auto values = [&tensor] { return dequantized_half(tensor); };
        tensors.emplace_back(tensor.name, deferred.add(shape, at::kHalf, values));
      }
    }
    return tensors;
  }
};

}  // namespace

const ExportFormat& hf_bitnet_export() {
  static const HfBitnetExport format;
  return format;
}

}  // namespace tercet
