// A model of 2 layers and text that it can learn, for the tests of train, eval and calib.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tercet/base/random.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/train/student.hpp"

namespace tercet::test {

constexpr std::int64_t kTinyVocab = 48;

inline ModelConfig tiny_config(Family family = Family::kLlama) {
  ModelConfig config;
  config.family = family;
  config.vocab_size = kTinyVocab;
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 8;
  config.max_positions = 64;
  if (family == Family::kQwen2) config.attention_bias = true;
  if (family == Family::kGpt2 || family == Family::kGptNeox) {
    config.kv_heads = config.heads;
    config.activation = "gelu";
    config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
    config.tied_head = family == Family::kGpt2;
    config.rotary_fraction = 0.5;
    config.parallel_residual = family == Family::kGptNeox;
  }
  return config;
}

inline at::Tensor normal(std::uint64_t seed, at::IntArrayRef shape, double scale = 1.0) {
  return at::randn(shape, at::detail::createCPUGenerator(seed)).mul(scale);
}

// Sequence `index`: counting up from a random start by a step of 1 to 3, so that the next id can be learnt.
inline void counting_sample(std::uint64_t index, std::span<std::int64_t> ids) {
  const auto start = static_cast<std::int64_t>(random_bits(7, purpose_of("start"), index) % kTinyVocab);
  const auto stride = static_cast<std::int64_t>(random_bits(7, purpose_of("stride"), index) % 3) + 1;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = (start + static_cast<std::int64_t>(i) * stride) % kTinyVocab;
  }
}

inline at::Tensor counting_batch(std::uint64_t first, std::int64_t count, std::int64_t length) {
  at::Tensor ids = at::empty({count, length}, at::kLong);
  for (std::int64_t i = 0; i < count; ++i) {
    counting_sample(first + static_cast<std::uint64_t>(i),
                    {ids.mutable_data_ptr<std::int64_t>() + i * length, static_cast<std::size_t>(length)});
  }
  return ids;
}

// The same model, whose weights inside the blocks are made when they are needed.
inline Decoder streamed(const Decoder& model) {
  NamedTensors tensors;
  for (const Parameter& parameter : model.parameters()) tensors.emplace_back(parameter.name, parameter.value.clone());
  Decoder copy = Decoder::from_parameters(model.config(), tensors, "cpu", Residence::kStreamed);
  copy.set_activation_bits(model.activation_bits());
  return copy;
}

// Such a format inside the blocks (groups of 16, so that rows have several), int8 embedding and head, fp16 elsewhere.
inline std::vector<ParameterPlan> plan_of(const Decoder& decoder, const std::string& format,
                                          ScaleRule rule = ScaleRule::kAbsmean) {
  std::vector<ParameterPlan> plan;
  for (const Parameter& parameter : decoder.parameters()) {
    FormatSpec spec;
    spec.group_size = 16;
    spec.rule = rule;
    if (is_block_linear(parameter.role)) spec.format = number_format(format);
    if (parameter.role == Role::kEmbedding || parameter.role == Role::kHead) {
      spec = {number_format("int8"), Granularity::kChannel, 0, ScaleRule::kMinMax};
    }
    plan.push_back({spec, {}});
  }
  return plan;
}

inline std::vector<ParameterPlan> ternary_plan(const Decoder& decoder) {
  return plan_of(decoder, "ternary");
}

inline Student ternary_student(std::uint64_t seed = 1, Family family = Family::kLlama) {
  Decoder decoder = Decoder::random(tiny_config(family), seed);
  const std::vector<ParameterPlan> plan = ternary_plan(decoder);
  return Student(std::move(decoder), plan);
}

// Nothing quantized: the masters are what forward sees.
inline Student plain_student(std::uint64_t seed = 1, Family family = Family::kLlama) {
  Decoder decoder = Decoder::random(tiny_config(family), seed);
  const std::vector<ParameterPlan> plan(decoder.parameters().size());
  return Student(std::move(decoder), plan);
}

inline Parameter& find_parameter(Decoder& decoder, const std::string& name) {
  for (Parameter& parameter : decoder.parameters()) {
    if (parameter.name == name) return parameter;
  }
  throw std::runtime_error("the tiny model has no " + name);
}

}  // namespace tercet::test
