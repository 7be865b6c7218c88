#include "export_settings.hpp"

#include <algorithm>

namespace tercet::job {

ExportSettings export_settings(const JobConfig& config, const LoadedModel& model) {
  ExportSettings settings;
  settings.gguf_type = config.exports.gguf_type;
  settings.shard_bytes = static_cast<std::uint64_t>(config.exports.shard_size_mb * 1e6);
  settings.model_folder = config.model.path;
  settings.tokenizer_folder = model.location.tokenizer;
  return settings;
}

PackedModel unfilled_artifact(const Decoder& model, const std::vector<ParameterPlan>& storage, int activation_bits) {
  PackedModel packed;
  packed.config = model.config();
  packed.activation_bits = activation_bits;
  for (std::size_t i = 0; i < storage.size(); ++i) {
    const Parameter& parameter = model.parameters()[i];
    std::vector<std::int64_t> shape = parameter.value.sizes().vec();
    if (parameter.input_first) std::reverse(shape.begin(), shape.end());
    packed.tensors.push_back(
        {parameter.name, to_string(parameter.role), parameter.input_first, unfilled(shape, *storage[i].spec)});
  }
  return packed;
}

}  // namespace tercet::job
