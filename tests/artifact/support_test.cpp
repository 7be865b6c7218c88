#include <ATen/ops/arange.h>

#include <map>

#include "support.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"

namespace tercet::test {
namespace {

const FormatSpec kTernaryGroup{number_format("ternary"), Granularity::kGroup, 8, ScaleRule::kAbsmean};
const FormatSpec kTernaryChannel{number_format("ternary"), Granularity::kChannel, 0, ScaleRule::kAbsmean};
const FormatSpec kQuantizedMatrix{number_format("ternary"), Granularity::kTensor, 0, ScaleRule::kAbsmean};
const FormatSpec kInt8{number_format("int8"), Granularity::kChannel, 0, ScaleRule::kMinMax};
const FormatSpec kHalf{};

// `shape` as stored, [out, in].
void add(PackedModel& model, const std::string& name, const std::string& role, std::vector<std::int64_t> shape,
         const FormatSpec& spec, bool input_first = false) {
  const at::Tensor weight = some_weight(std::move(shape), static_cast<int>(model.tensors.size()));
  model.tensors.push_back({name, role, input_first, store(weight, spec)});
}

}  // namespace

at::Tensor some_weight(std::vector<std::int64_t> shape, int seed) {
  std::int64_t elements = 1;
  for (const std::int64_t dimension : shape) elements *= dimension;
  return at::arange(elements, at::kDouble).mul(12.9898).add(seed).sin().mul(0.3).to(at::kFloat).reshape(shape);
}

PackedModel tiny_llama(bool tied) {
  PackedModel model;
  ModelConfig shape;
  shape.vocab_size = 32, shape.hidden_size = 12, shape.intermediate_size = 18, shape.layers = 1;
  shape.heads = 2, shape.kv_heads = 1, shape.head_dim = 6, shape.max_positions = 16, shape.tied_head = tied;
  shape.bos_token = 1, shape.eos_token = 2;
  model.config = parse_model_config(llama_config_json(shape), "tiny");
  model.provenance = {{"source", "test"}, {"files", {{"model.safetensors", "0123"}}}};
  const std::string layer = "model.layers.0.";
  add(model, "model.embed_tokens.weight", "embedding", {32, 12}, kInt8);
  add(model, layer + "input_layernorm.weight", "norm", {12}, kHalf);
  add(model, layer + "self_attn.q_proj.weight", "query", {12, 12}, kTernaryGroup);
  add(model, layer + "self_attn.k_proj.weight", "key", {6, 12}, kTernaryChannel);
  add(model, layer + "self_attn.v_proj.weight", "value", {6, 12}, kQuantizedMatrix);
  add(model, layer + "self_attn.o_proj.weight", "attention_output", {12, 12}, kTernaryGroup);
  add(model, layer + "post_attention_layernorm.weight", "norm", {12}, kHalf);
  add(model, layer + "mlp.gate_proj.weight", "gate", {18, 12}, kTernaryGroup);
  add(model, layer + "mlp.up_proj.weight", "up", {18, 12}, kTernaryGroup);
  add(model, layer + "mlp.down_proj.weight", "down", {12, 18}, kTernaryGroup);  // 18: neither bytes nor groups are full
  add(model, "model.norm.weight", "norm", {12}, kHalf);
  if (!tied) add(model, "lm_head.weight", "head", {32, 12}, kHalf);
  return model;
}

PackedModel tiny_mixture() {
  PackedModel model = tiny_llama(false);
  const auto by_group = [](const std::string& format, std::int64_t size, bool symmetric = true) {
    return FormatSpec{number_format(format), Granularity::kGroup, size,
                      format.starts_with("ternary") ? ScaleRule::kAbsmean : ScaleRule::kMinMax, symmetric};
  };
  const auto by_row = [&](const std::string& format, bool symmetric) {
    FormatSpec spec = by_group(format, 0, symmetric);
    spec.granularity = Granularity::kChannel;
    return spec;
  };
  const std::map<std::string, FormatSpec> specs = {{"embedding", by_group("int4", 4)},
                                                   {"query", by_group("int2", 4)},
                                                   {"key", by_row("int3", false)},
                                                   {"value", by_group("ternary5", 8)},
                                                   {"attention_output", by_group("int4", 6, false)},
                                                   {"gate", by_row("int6", true)},
                                                   {"up", by_group("int8", 4, false)},
                                                   {"down", by_group("int2", 6, false)},
                                                   {"head", by_group("ternary", 8)}};
  for (PackedTensor& tensor : model.tensors) {
    const auto spec = specs.find(tensor.role);
    if (spec != specs.end()) tensor.stored = store(some_weight(tensor.stored.shape, 3), spec->second);
  }
  return model;
}

PackedModel tiny_gpt2() {
  PackedModel model;
  model.config = parse_model_config(
      R"({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 24, "n_embd": 8, "n_layer": 1,
          "n_head": 2, "n_positions": 16, "n_inner": null, "dtype": "float32"})",
      "tiny");
  model.activation_bits = 16;
  const std::string layer = "transformer.h.0.";
  add(model, "transformer.wte.weight", "embedding", {24, 8}, kHalf);
  add(model, "transformer.wpe.weight", "position_embedding", {16, 8}, kHalf);
  for (const std::string& norm : {layer + "ln_1", layer + "ln_2", std::string("transformer.ln_f")}) {
    add(model, norm + ".weight", "norm", {8}, kHalf);
    add(model, norm + ".bias", "bias", {8}, kHalf);
  }
  const auto linear = [&](const std::string& name, const std::string& role, std::int64_t out, std::int64_t in) {
    add(model, layer + name + ".weight", role, {out, in}, kTernaryGroup, true);
    add(model, layer + name + ".bias", "bias", {out}, kHalf);
  };
  linear("attn.c_attn", "fused_qkv", 24, 8);
  linear("attn.c_proj", "attention_output", 8, 8);
  linear("mlp.c_fc", "up", 32, 8);
  linear("mlp.c_proj", "down", 8, 32);
  return model;
}

void write_metadata(const std::filesystem::path& folder) {
  nlohmann::json files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).generic_string();
    if (entry.is_regular_file() && name != "compression_metadata.json") files[name] = sha256_file(entry.path());
  }
  nlohmann::json metadata{{"files", files}};
  metadata["metadata_sha256"] = sha256_hex(std::string_view(metadata.dump()));
  write_file_atomically(folder / "compression_metadata.json", metadata.dump());
}

void write_artifacts(const std::filesystem::path& folder, const PackedModel& model) {
  const auto source = folder / "source";
  std::filesystem::create_directories(source);
  write_file_atomically(source / "tokenizer.json", "{}");
  write_file_atomically(source / "unrelated.txt", "no tokenizer");
  write_packed_model(folder / "bitnet_quantized_model.pt", model);
  write_dequantized_pt(folder / "bitnet_dequantized_fp16.pt", model);
  write_hf_folder(folder / "hf", model, source, source);
  write_metadata(folder);
}

}  // namespace tercet::test
