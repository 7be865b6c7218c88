#include "decoding.hpp"

#include <ATen/Parallel.h>

#include <algorithm>

#include "tercet/base/error.hpp"
#include "tercet/base/utf8.hpp"
#include "tercet/generate/speed.hpp"
#include "tercet/kernels/packed_matrix.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet::job {
namespace {

constexpr std::int64_t kPromptTokens = 32;  // of a sample that goes on from held-out text

std::string kernel_refusal(const TrainedParameter& parameter, const std::string& device) {
  return PackedMatrix::refusal(*parameter.spec, parameter.master.size(parameter.input_first ? 0 : 1), device);
}

DecodeRate decode_rate(const Speed& speed) {
  return {speed.decode.median, speed.decode.slowest, speed.decode.fastest, speed.bytes_per_token};
}

}  // namespace

std::string speed_refusal(const Student& student, const std::string& device) {
  if (student.decoder().activation_bits() != 8)
    return "packed kernels take int8 inputs, and quantization.activation_bits is 16";
  std::int64_t matrices = 0, refused = 0;
  std::string first;
  for (const TrainedParameter& parameter : student.parameters()) {
    if (!is_block_linear(parameter.role) || !parameter.spec || !parameter.spec->format->is_grid()) continue;
    ++matrices;
    const std::string why = kernel_refusal(parameter, device);
    if (why.empty()) continue;
    if (refused++ == 0) first = parameter.name + ": " + why;
  }
  if (matrices == 0) return "no matrix inside the blocks is quantized";
  if (refused == 0) return "";
  return "packed kernels cannot multiply " + std::to_string(refused) + " of " + std::to_string(matrices) +
         " quantized matrices (" + first + ")";
}

DecodeSpeed measure_decode_speed(const Decoder& packed, const Decoder& original, double seconds) {
  const Decoder half = in_bfloat16(original);
  const std::vector<const Decoder*> models = {&packed, &original, &half};
  const SpeedOptions options = options_within(models, seconds);
  const std::vector<Speed> speeds = measure_speed(models, options);
  DecodeSpeed result;
  result.packed = decode_rate(speeds[0]);
  result.fp32 = decode_rate(speeds[1]);
  result.bf16 = decode_rate(speeds[2]);
  result.rounds = options.repetitions;
  result.prompt_tokens = options.prompt_tokens;
  result.new_tokens = options.new_tokens;
  result.device = packed.device().str();
  result.processor = lossy_utf8(processor_name(result.device));
  result.instruction_set = to_string(used_instruction_set());
  result.threads = at::get_num_threads();
  result.last_level_cache = last_level_cache(result.device);
  return result;
}

std::string sample_prompt(const ReportSection& report, const Windows& windows, const Tokenizer& tokenizer) {
  if (!report.sample_prompt.empty()) return report.sample_prompt;
  std::vector<std::int64_t> window(static_cast<std::size_t>(windows.length));
  windows.read(0, window);
  const auto is_end = [&](std::int64_t id) { return id == tokenizer.eos_token(); };
  const auto begin = std::find_if_not(window.begin(), window.end(), is_end);
  const auto most = begin + std::min<std::ptrdiff_t>(window.end() - begin, std::min(kPromptTokens, windows.length / 2));
  std::string text = tokenizer.decode(std::vector<std::int32_t>(begin, std::find_if(begin, most, is_end)));
  // The last token may end inside a character.
  static constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  while (text.ends_with(kReplacement)) text.resize(text.size() - kReplacement.size());
  std::vector<std::int32_t> ids;
  if (first_invalid_utf8(text) == std::string::npos) tokenizer.encode(text, ids);
  return ids.empty() ? "" : text;
}

void check_sample_prompt(const ReportSection& report, const Tokenizer& tokenizer, const ModelConfig& model) {
  if (report.sample_prompt.empty() || report.sample_tokens == 0) return;
  if (first_invalid_utf8(report.sample_prompt) != std::string::npos)
    throw ConfigError("report.sample_prompt is not UTF-8");
  std::vector<std::int32_t> ids;
  tokenizer.encode(report.sample_prompt, ids);
  if (ids.empty()) throw ConfigError("report.sample_prompt holds no token", "", "leave it empty for held-out text");
  const auto length = static_cast<std::int64_t>(ids.size());
  if (length < model.max_positions) return;
  throw ConfigError("report.sample_prompt has " + std::to_string(length) + " tokens",
                    "the model knows " + std::to_string(model.max_positions) + " positions", "shorten it");
}

}  // namespace tercet::job
