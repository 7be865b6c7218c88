// tercet generate: text from any model or artifact.
#include <iostream>

#include "model_loader.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/base/utf8.hpp"
#include "tercet/generate/generate.hpp"
#include "tercet/job/commands.hpp"

namespace tercet {
namespace {

nlohmann::json to_json(const Generated& result) {
  const auto rate = [](double tokens, double seconds) { return seconds > 0 ? tokens / seconds : 0.0; };
  const auto new_tokens = static_cast<double>(result.ids.size());
  return {{"text", result.text},
          {"prompt_tokens", result.prompt.size()},
          {"tokens", result.ids.size()},
          {"ids", result.ids},
          {"ended", result.ended},
          {"prefill_tokens_per_second", rate(static_cast<double>(result.prompt.size()), result.prefill_s)},
          {"decode_tokens_per_second", rate(new_tokens, result.decode_s)}};
}

GenerationOptions options_of(const GenerateRequest& request) {
  GenerationOptions options;
  options.sampling = {request.temperature, request.top_k, request.top_p, static_cast<std::uint64_t>(request.seed)};
  options.tokens = request.tokens;
  options.stop_at_end = !request.to_the_end;
  return options;
}

}  // namespace

CommandResult generate_text(Runtime& runtime, const GenerateRequest& request) {
  const std::string answer = on_root(runtime.control(), [&] {
    const WeightForm form = request.weights == "dense" ? WeightForm::kDense : WeightForm::kPacked;
    const auto check_prompt = [&](const ModelConfig& config, const Tokenizer& tokenizer) {
      prompt_ids(tokenizer, request.prompt, config);
    };
    const job::LoadedModel model =
        job::load_model(request.model, request.tokenizer, runtime.device(), form, Residence::kResident, check_prompt);
    const auto show = [](std::string_view piece) { std::cout << printable(piece, piece.size()) << std::flush; };
    if (request.stream) show(request.prompt);
    const Generated result = request.stream
                                 ? generate(model.decoder, *model.tokenizer, request.prompt, options_of(request), show)
                                 : generate(model.decoder, *model.tokenizer, request.prompt, options_of(request));
    return to_json(result).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  });
  CommandResult result;
  result.json = nlohmann::json::parse(answer);
  if (request.stream) result.text = "\n";
  return result;
}

}  // namespace tercet
