// Decoder::load, from_parameters, from_stored and random: where parameters come from and what is checked about them.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/nonzero.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "model/family_table.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/memory.hpp"
#include "tercet/base/random.hpp"
#include "tercet/base/text.hpp"
#include "tercet/kernels/packed_matrix.hpp"
#include "tercet/model/decoder.hpp"

namespace tercet {
namespace {

// Tensors by the name that this module uses, from a folder or from memory.
struct Tensors {
  std::map<std::string, std::function<at::Tensor()>> by_name;
  std::map<std::string, std::string> origin;  // "tensor 'x' of model.safetensors"
  std::string where;                          // "model.safetensors" or "the given tensors"
};

std::string quoted(const std::string& name) {
  return "tensor '" + name + "'";
}

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

bool ends_with_any(const std::string& name, const std::vector<std::string_view>& endings) {
  for (const auto ending : endings) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

// Folders saved from the base model lack the prefix ("wte.weight" for "transformer.wte.weight"): put it back.
std::string canonical_name(const std::string& name, const ModelConfig& config, bool without_root) {
  if (!without_root || name == head_name(config.family)) return name;
  return std::string(family_traits(config.family).root) + name;
}

bool lacks_root(const std::vector<std::string>& names, const ModelConfig& config) {
  const std::string root(family_traits(config.family).root);
  for (const auto& name : names) {
    if (name.starts_with(root)) return false;
  }
  return true;
}

Tensors from_source(const std::shared_ptr<const WeightSource>& weights, const ModelConfig& config) {
  Tensors result;
  std::vector<std::string> names;
  for (const auto& [name, info] : weights->tensors()) names.push_back(name);
  const bool without_root = lacks_root(names, config);
  for (const auto& [name, info] : weights->tensors()) {
    const std::string canonical = canonical_name(name, config, without_root);
    result.by_name[canonical] = [weights, name = name] { return weights->tensor(name); };
    result.origin[canonical] = quoted(name) + " of '" + info.file.string() + "'";
  }
  const auto files = weights->files();
  result.where = files.empty() ? "the weights" : "'" + files.front().parent_path().string() + "'";
  return result;
}

Tensors from_list(const NamedTensors& tensors, const ModelConfig& config) {
  Tensors result;
  std::vector<std::string> names;
  for (const auto& entry : tensors) names.push_back(entry.first);
  const bool without_root = lacks_root(names, config);
  for (const auto& [name, tensor] : tensors) {
    const std::string canonical = canonical_name(name, config, without_root);
    result.by_name[canonical] = [tensor = tensor] { return tensor; };
    result.origin[canonical] = quoted(name);
  }
  result.where = "the given tensors";
  return result;
}

void require_finite(const at::Tensor& value, const std::string& origin) {
  const at::Tensor finite = at::isfinite(value);
  if (finite.all().item<bool>()) return;
  const at::Tensor first = at::nonzero(finite.logical_not()).select(0, 0);
  std::vector<std::int64_t> index;
  for (std::int64_t i = 0; i < first.numel(); ++i) index.push_back(first[i].item<std::int64_t>());
  at::Tensor element = value;
  for (const auto i : index) element = element.select(0, i);
  throw DataError(origin + " is not finite",
                  "first at index " + shape_text(index) + ": " + format_fixed(element.item<double>(), 0),
                  "the model is damaged or its training diverged; use another checkpoint");
}

const std::string& required_origin(const ParameterSpec& spec, const Tensors& tensors) {
  const auto found = tensors.by_name.find(spec.name);
  if (found == tensors.by_name.end()) {
    std::vector<std::string> names;
    for (const auto& entry : tensors.by_name) names.push_back(entry.first);
    const std::string near = nearest_word(spec.name, names);
    throw DataError(quoted(spec.name) + " is missing from " + tensors.where,
                    "config.json describes a model that has it",
                    near.empty() ? "check that config.json belongs to these weights" : "nearest name: '" + near + "'");
  }
  return tensors.origin.at(spec.name);
}

void require_shape(const ParameterSpec& spec, at::IntArrayRef shape, const std::string& origin) {
  if (shape == at::IntArrayRef(spec.shape)) return;
  throw DataError(origin + " has the wrong shape", "expected " + shape_text(spec.shape) + ", got " + shape_text(shape),
                  "check that config.json belongs to these weights");
}

at::Tensor checked_value(const ParameterSpec& spec, const Tensors& tensors, const std::string& device) {
  const std::string& origin = required_origin(spec, tensors);
  const at::Tensor stored = tensors.by_name.at(spec.name)();
  require_shape(spec, stored.sizes(), origin);
  if (!stored.is_floating_point()) {
    throw DataError(origin + " holds no floating-point numbers", c10::toString(stored.scalar_type()),
                    "give the full-precision model");
  }
  at::Tensor value = at::empty(spec.shape, at::kFloat);  // always a copy: a mapped file must not be written
  value.copy_(stored.detach());
  require_finite(value, origin);
  return value.to(device);
}

// Made again and again from where it comes from. A GPU gets it in the type that it is stored in.
std::shared_ptr<StreamedWeight> streamed_value(const std::function<at::Tensor()>& stored, const std::string& device) {
  return std::make_shared<StreamedWeight>([stored, device = at::Device(device)] {
    const at::NoGradGuard no_grad;
    const at::Tensor there = stored().detach().to(device);
    return at::empty(there.sizes(), there.options().dtype(at::kFloat)).copy_(there);
  });
}

void check_tied_head(const ModelConfig& config, const Tensors& tensors, const at::Tensor& embedding) {
  const auto found = tensors.by_name.find(head_name(config.family));
  if (!config.tied_head || found == tensors.by_name.end()) return;
  const at::Tensor head = found->second().detach().to(at::kFloat);
  if (head.sizes() == embedding.sizes() && at::equal(head, embedding.to(head.device()))) return;
  throw DataError(tensors.origin.at(found->first) + " differs from the embedding",
                  "config.json says that they are tied (tie_word_embeddings)",
                  "set tie_word_embeddings to false, or remove the tensor");
}

void refuse_unknown(const ModelConfig& config, const Tensors& tensors, const std::vector<ParameterSpec>& specs) {
  std::map<std::string, bool> known{{head_name(config.family), true}};
  for (const auto& spec : specs) known[spec.name] = true;
  for (const auto& [name, tensor] : tensors.by_name) {
    if (known.contains(name) || ends_with_any(name, family_traits(config.family).ignored)) continue;
    throw DataError(tensors.origin.at(name) + " is not part of a " + to_string(config.family) + " model",
                    "its work would be lost silently", "check model_type and num_hidden_layers in config.json");
  }
}

// Packs a parameter where it is to be multiplied in packed form; null: it is not.
using Packing = std::function<std::shared_ptr<const PackedMatrix>(const ParameterSpec& spec)>;

Parameter checked_parameter(const ParameterSpec& spec, const Tensors& tensors, const std::string& device,
                            Residence residence, const Packing& packing) {
  Parameter parameter{spec.name, spec.role, spec.layer, spec.input_first, {}};
  if (packing) parameter.packed = packing(spec);
  if (parameter.packed != nullptr) {
    std::vector<std::int64_t> shape{parameter.packed->rows(), parameter.packed->columns()};
    if (spec.input_first)
      std::reverse(shape.begin(), shape.end());  // what is stored is [out, in] whatever the model has
    require_shape(spec, shape, required_origin(spec, tensors));
    parameter.value = shape_alone(spec.shape);
  } else if (residence == Residence::kStreamed && spec.layer >= 0) {
    give_back_freed_memory(checked_value(spec, tensors, "cpu").nbytes());
    parameter.value = shape_alone(spec.shape);
    parameter.streamed = streamed_value(tensors.by_name.at(spec.name), device);
  } else {
    parameter.value = checked_value(spec, tensors, device);
  }
  return parameter;
}

std::vector<Parameter> checked_parameters(const ModelConfig& config, const Tensors& tensors, const std::string& device,
                                          Residence residence, const Packing& packing = {}) {
  const auto specs = parameter_specs(config);
  std::vector<Parameter> parameters;
  for (const auto& spec : specs) {
    heartbeat::beat();
    parameters.push_back(checked_parameter(spec, tensors, device, residence, packing));
  }
  refuse_unknown(config, tensors, specs);
  if (parameters.front().packed == nullptr) check_tied_head(config, tensors, parameters.front().value);
  return parameters;
}

bool is_packed_in(WeightForm form, Role role) {
  if (form == WeightForm::kPackedBlocks) return is_block_linear(role);
  return form == WeightForm::kPacked && (is_block_linear(role) || role == Role::kEmbedding || role == Role::kHead);
}

// N(0, deviation) by Box and Muller's formula, element i from draw i alone.
at::Tensor normal_values(const std::vector<std::int64_t>& shape, double deviation, std::uint64_t seed,
                         std::uint64_t purpose) {
  at::Tensor value = at::empty(shape, at::kFloat);
  float* out = value.data_ptr<float>();
  at::parallel_for(0, value.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto index = static_cast<std::uint64_t>(i);
      const double radius = std::sqrt(-2.0 * std::log(1.0 - random_uniform(seed, purpose, 2 * index)));
      const double angle = 2.0 * std::numbers::pi * random_uniform(seed, purpose, 2 * index + 1);
      out[i] = static_cast<float>(deviation * radius * std::cos(angle));
    }
  });
  return value;
}

at::Tensor initial_value(const ParameterSpec& spec, const ModelConfig& config, std::uint64_t seed) {
  constexpr double kDeviation = 0.02;  // GPT-2's (Radford et al. 2019)
  if (spec.is_bias) return at::empty(spec.shape, at::kFloat).zero_();
  if (spec.role == Role::kNorm) return at::empty(spec.shape, at::kFloat).fill_(1.0);
  const bool into_residual = spec.role == Role::kAttentionOutput || spec.role == Role::kDown;
  const double scale = into_residual ? 1.0 / std::sqrt(2.0 * static_cast<double>(config.layers)) : 1.0;
  return normal_values(spec.shape, kDeviation * scale, seed, purpose_of("model.random." + spec.name));
}

}  // namespace

Decoder Decoder::load(const ModelConfig& config, std::shared_ptr<const WeightSource> weights, const std::string& device,
                      Residence residence) {
  return Decoder(config, checked_parameters(config, from_source(weights, config), device, residence));
}

Decoder Decoder::from_parameters(const ModelConfig& config, const NamedTensors& tensors, const std::string& device,
                                 Residence residence) {
  return Decoder(config, checked_parameters(config, from_list(tensors, config), device, residence));
}

Decoder Decoder::from_stored(const ModelConfig& config, const std::vector<StoredParameter>& parameters, WeightForm form,
                             const std::string& device, Residence residence) {
  Tensors tensors;
  std::map<std::string, const StoredParameter*> known;
  for (const StoredParameter& parameter : parameters) {
    known[parameter.name] = &parameter;
    tensors.origin[parameter.name] = quoted(parameter.name);
    tensors.by_name[parameter.name] = [parameter] {
      const at::Tensor value = dequantize(parameter.stored);
      return parameter.input_first ? value.t().contiguous() : value;
    };
  }
  tensors.where = "the stored parameters";
  const Packing packing = [&](const ParameterSpec& spec) -> std::shared_ptr<const PackedMatrix> {
    const auto found = known.find(spec.name);
    if (found == known.end() || !is_packed_in(form, spec.role)) return nullptr;
    const StoredTensor& stored = found->second->stored;
    if (stored.shape.size() != 2 || !PackedMatrix::refusal(stored.spec, stored.shape[1], device).empty()) {
      return nullptr;
    }
    const auto& known_packed = found->second->packed;
    return std::make_shared<const PackedMatrix>((known_packed ? *known_packed : PackedMatrix(stored)).to(device));
  };
  return Decoder(config, checked_parameters(config, tensors, device, residence, packing));
}

Decoder Decoder::random(const ModelConfig& config, std::uint64_t seed, const std::string& device) {
  std::vector<Parameter> parameters;
  for (const auto& spec : parameter_specs(config)) {
    const at::Tensor value = initial_value(spec, config, seed).to(device);
    parameters.push_back({spec.name, spec.role, spec.layer, spec.input_first, value});
  }
  return Decoder(config, std::move(parameters));
}

}  // namespace tercet
