// Makes the artifact of a Llama of 1.03 billion parameters to measure with: the shape of TinyLlama with a tied head,
// blocks of trits in groups of 128, an embedding of int8, all codes and scales random. No float model is ever in
// memory.
//
// Usage: large_model FOLDER [BLOCKS]       (22 blocks)
// tests/bench/large_model.sh runs it.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>

#include <array>
#include <cstdio>
#include <exception>
#include <random>
#include <string>

#include "tercet/artifact/export_format.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/text/tokenizer.hpp"

namespace {

namespace fs = std::filesystem;
using tercet::FormatSpec;
using tercet::Granularity;
using tercet::ModelConfig;
using tercet::PackedModel;
using tercet::StoredTensor;

ModelConfig shape(std::int64_t blocks) {
  ModelConfig config;
  config.vocab_size = 32000;
  config.hidden_size = 2048;
  config.intermediate_size = 5632;
  config.layers = blocks;
  config.heads = 32;
  config.kv_heads = 4;
  config.head_dim = 64;
  config.max_positions = 2048;
  config.tied_head = true;
  return tercet::parse_model_config(tercet::llama_config_json(config), "large_model");
}

// Four codes from 0 to 2 in a byte.
at::Tensor random_trit_codes(std::int64_t rows, std::int64_t columns) {
  static std::mt19937_64 generator(1);
  static const auto bytes = [] {
    std::array<std::uint8_t, 81> all{};
    for (unsigned i = 0; i < all.size(); ++i)
      all[i] = static_cast<std::uint8_t>(i % 3 | i / 3 % 3 << 2 | i / 9 % 3 << 4 | i / 27 << 6);
    return all;
  }();
  at::Tensor codes = at::empty({rows, columns / 4}, at::kByte);
  auto* out = codes.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < codes.numel(); ++i) out[i] = bytes[generator() % bytes.size()];
  return codes;
}

StoredTensor random_trits(std::int64_t rows, std::int64_t columns) {
  const FormatSpec spec{tercet::number_format("ternary"), Granularity::kGroup, 128};
  const at::Tensor scales = at::rand(tercet::scale_shape(rows, columns, spec)).mul(0.01).add(0.02).to(at::kHalf);
  return {spec, {rows, columns}, random_trit_codes(rows, columns), scales, {}};
}

StoredTensor random_bytes(std::int64_t rows, std::int64_t columns) {
  const FormatSpec spec{tercet::number_format("int8"), Granularity::kChannel, 0, tercet::ScaleRule::kMinMax};
  const at::Tensor codes = at::randint(-127, 128, {rows, columns}, at::kChar);
  return {spec, {rows, columns}, codes, at::rand({rows, 1}).mul(1e-4).add(1e-4).to(at::kHalf), {}};
}

PackedModel random_model(const ModelConfig& config) {
  PackedModel model;
  model.config = config;
  model.provenance = {{"source", "random codes"}};
  const auto add = [&](const std::string& name, const std::string& role, StoredTensor stored) {
    model.tensors.push_back({name + ".weight", role, false, std::move(stored)});
  };
  const std::int64_t hidden = config.hidden_size, inner = config.intermediate_size;
  const std::int64_t keys = config.kv_heads * config.head_dim;
  const auto add_norm = [&](const std::string& name) {
    add(name, "norm", {FormatSpec{}, {hidden}, at::ones({hidden}, at::kHalf), {}, {}});
  };
  add("model.embed_tokens", "embedding", random_bytes(config.vocab_size, hidden));
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string block = "model.layers." + std::to_string(i) + ".";
    add_norm(block + "input_layernorm");
    add(block + "self_attn.q_proj", "query", random_trits(hidden, hidden));
    add(block + "self_attn.k_proj", "key", random_trits(keys, hidden));
    add(block + "self_attn.v_proj", "value", random_trits(keys, hidden));
    add(block + "self_attn.o_proj", "attention_output", random_trits(hidden, hidden));
    add_norm(block + "post_attention_layernorm");
    add(block + "mlp.gate_proj", "gate", random_trits(inner, hidden));
    add(block + "mlp.up_proj", "up", random_trits(inner, hidden));
    add(block + "mlp.down_proj", "down", random_trits(hidden, inner));
  }
  add_norm("model.norm");
  return model;
}

void make(const fs::path& folder, std::int64_t blocks) {
  at::manual_seed(1);
  const PackedModel model = random_model(shape(blocks));
  tercet::make_folder(folder);
  tercet::write_byte_tokenizer(folder / "tokenizer");
  const fs::path packed = folder / "bitnet_quantized_model.pt";
  tercet::write_packed_model(packed, model);
  tercet::ExportSettings settings;
  settings.packed_sha256 = tercet::sha256_file(packed);
  const tercet::ExportFormat& kernels = tercet::export_format("kernels");
  kernels.write(folder / kernels.place(), model, settings);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [BLOCKS]\n", argv[0]);
    return 64;
  }
  try {
    make(argv[1], argc > 2 ? std::stoll(argv[2]) : 22);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 70;
  }
  return 0;
}
