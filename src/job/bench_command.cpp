// tercet bench: how fast an artifact generates, beside itself dequantized and beside the original.
#include <ATen/Parallel.h>

#include "model_loader.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/generate/speed.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {
namespace {

struct Contender {
  std::string name;
  Decoder model;
};

// Says how many matrices are multiplied as they are stored where that is not all of them: the others have no kernel, or
// are kept in fp16.
std::string packed_name(const Decoder& model) {
  std::int64_t matrices = 0, packed = 0;
  for (const Parameter& parameter : model.parameters()) {
    if (!is_block_linear(parameter.role) && parameter.role != Role::kEmbedding && parameter.role != Role::kHead)
      continue;
    ++matrices;
    packed += parameter.packed != nullptr ? 1 : 0;
  }
  if (packed == matrices) return "packed";
  return "packed (" + std::to_string(packed) + " of " + std::to_string(matrices) + " matrices)";
}

std::vector<Contender> contenders_of(const BenchRequest& request, const std::string& device) {
  std::vector<Contender> contenders;
  const auto add = [&](const std::string& name, const Decoder& model) { contenders.push_back({name, model}); };
  const auto original = [&](const std::filesystem::path& path, const std::string& prefix) {
    const Decoder model = job::load_model(path, {}, device).decoder;
    add(prefix + "fp32", model);
    add(prefix + "bf16", in_bfloat16(model));
  };
  if (job::locate_model(request.model).kind == job::ModelKind::kHuggingFace) {
    original(request.model, "");
  } else {
    const Decoder packed = job::load_model(request.model, {}, device, WeightForm::kPacked).decoder;
    if (packed.activation_bits() == 8) add(packed_name(packed), packed);
    const Decoder dense = job::load_model(request.model, {}, device).decoder;
    add("dequantized, fp32", dense);
    // An original beside it computes as much.
    if (request.against.empty()) add("dequantized, bf16", in_bfloat16(dense));
  }
  if (!request.against.empty()) original(request.against, "original, ");
  return contenders;
}

nlohmann::json to_json(const Rate& rate) {
  return {{"median", rate.median}, {"slowest", rate.slowest}, {"fastest", rate.fastest}};
}

nlohmann::json to_json(const std::string& name, const Speed& speed, const MemoryFigures& memory) {
  const double bandwidth = speed.decode.median * static_cast<double>(speed.bytes_per_token);
  return {{"name", name},
          {"prefill_tokens_per_second", to_json(speed.prefill)},
          {"decode_tokens_per_second", to_json(speed.decode)},
          {"bytes_per_token", speed.bytes_per_token},
          {"share_of_read_bandwidth", bandwidth / memory.read_bytes_per_s},
          {"fits_in_cache", speed.bytes_per_token <= memory.last_level_cache}};
}

std::string rate_text(const nlohmann::json& rate) {
  return format_fixed(rate.at("median"), 1) + " (" + format_fixed(rate.at("slowest"), 1) + " to " +
         format_fixed(rate.at("fastest"), 1) + ")";
}

std::string text_of(const nlohmann::json& result) {
  std::vector<std::vector<std::string>> rows{
      {"weights", "prefill, tokens/s", "decode, tokens/s", "read per token", "of the memory's bandwidth"}};
  for (const auto& row : result.at("models")) {
    rows.push_back({row.at("name"), rate_text(row.at("prefill_tokens_per_second")),
                    rate_text(row.at("decode_tokens_per_second")),
                    format_bytes(row.at("bytes_per_token").get<std::uint64_t>()),
                    row.at("fits_in_cache").get<bool>()
                        ? "fits in the cache"
                        : format_fixed(100 * row.at("share_of_read_bandwidth").get<double>(), 0) + " %"});
  }
  const std::string device = result.at("device");
  const std::string where = device == "cpu" ? std::to_string(result.at("threads").get<int>()) + " threads, kernels " +
                                                  result.at("instruction_set").get<std::string>()
                                            : "on " + device;
  return format_table(rows) + "\n" + where + ", memory read at " +
         format_fixed(result.at("read_bytes_per_second").get<double>() / 1e9, 1) + " GB/s, last-level cache " +
         format_bytes(result.at("last_level_cache_bytes").get<std::uint64_t>()) + "\n";
}

}  // namespace

CommandResult bench(Runtime& runtime, const BenchRequest& request) {
  const std::string answer = on_root(runtime.control(), [&] {
    const std::vector<Contender> contenders = contenders_of(request, runtime.device());
    std::vector<const Decoder*> models;
    for (const Contender& contender : contenders) models.push_back(&contender.model);
    const MemoryFigures memory = measure_memory(runtime.device());
    const std::vector<Speed> speeds =
        measure_speed(models, {request.prompt_tokens, request.new_tokens, request.repetitions});
    nlohmann::json result{{"device", runtime.device()},
                          {"threads", at::get_num_threads()},
                          {"instruction_set", to_string(used_instruction_set())},
                          {"read_bytes_per_second", memory.read_bytes_per_s},
                          {"last_level_cache_bytes", memory.last_level_cache},
                          {"prompt_tokens", request.prompt_tokens},
                          {"new_tokens", request.new_tokens},
                          {"repetitions", request.repetitions},
                          {"models", nlohmann::json::array()}};
    for (std::size_t i = 0; i < speeds.size(); ++i) {
      result["models"].push_back(to_json(contenders[i].name, speeds[i], memory));
    }
    return result.dump();
  });
  CommandResult result;
  result.json = nlohmann::json::parse(answer);
  result.text = text_of(result.json);
  return result;
}

}  // namespace tercet
