// The last stages of the compress job: pack, re-read and measure, check the handoff, judge, publish.
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>

#include "compress_job.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/model_io/torch_file.hpp"
#include "tercet/report/report.hpp"

namespace tercet::job {

namespace fs = std::filesystem;

namespace {

PackedModel packed_from(const Student& student, const nlohmann::json& provenance) {
  const at::NoGradGuard no_grad;
  PackedModel model;
  model.config = student.decoder().config();
  model.activation_bits = student.decoder().activation_bits();
  model.provenance = provenance;
  for (const TrainedParameter& parameter : student.parameters()) {
    const at::Tensor value = as_output_first(parameter.master.detach(), parameter.input_first);
    model.tensors.push_back({parameter.name, to_string(parameter.role), parameter.input_first,
                             store(value, *parameter.spec, parameter.calibration)});
  }
  return model;
}

// The plain state dict of the dequantized artifact, as any PyTorch program would read it.
NamedTensors read_state_dict(const fs::path& file) {
  const TorchValue value = read_torch_file(file);
  const auto* dict = std::get_if<TorchDict>(&value);
  if (dict == nullptr) throw DataError("'" + file.string() + "' is not a state dict");
  NamedTensors tensors;
  for (const auto& [name, entry] : *dict) {
    if (const auto* tensor = std::get_if<at::Tensor>(&entry)) tensors.emplace_back(name, *tensor);
  }
  return tensors;
}

}  // namespace

void CompressJob::pack() {
  on_root(comm_, [&] {
    const fs::path folder = directory_.staged();
    fs::create_directories(folder);
    const PackedModel model = packed_from(*student_, provenance());
    write_packed_model(folder / kPackedFile, model);
    write_dequantized_pt(folder / kDequantizedFile, model);
    write_hf_folder(folder / "hf", model, config_.model.path, original_->location.tokenizer);
    copy_tokenizer(original_->location.tokenizer, folder / "tokenizer");
    return std::string();
  });
}

// Everything measured here is read back from the files that were just written.
void CompressJob::measure_packed() {
  std::optional<LoadedModel> packed;
  std::optional<Decoder> dequantized;
  on_every_rank(comm_, [&] {
    packed.emplace(load_model(directory_.staged() / kPackedFile, {}, runtime_.device()));
    dequantized.emplace(Decoder::from_parameters(
        original_->decoder.config(), read_state_dict(directory_.staged() / kDequantizedFile), runtime_.device()));
  });
  packed_bytes_ = fs::file_size(directory_.staged() / kPackedFile);
  dequantized_bytes_ = fs::file_size(directory_.staged() / kDequantizedFile);
  packed_ = evaluate_here(packed->decoder, &original_->decoder);
  record_evaluation("packed", packed_);
  dequantized->set_activation_bits(packed->decoder.activation_bits());
  agreement_ = evaluate_here(*dequantized, &packed->decoder).top1_agreement;
  dequantized->set_activation_bits(16);
  dequantized_ = evaluate_here(*dequantized, &original_->decoder);
  record_evaluation("dequantized", dequantized_);
  gradient_flow_ = check_gradient_flow(*dequantized, windows_, std::min<std::int64_t>(4, config_.evaluation.batch));
  for (const std::string& problem : gradient_flow_.problems) log::warn("gradient flow: " + problem);
}

// As the next phase would: the files exist, load, and agree.
void CompressJob::check_handoff() {
  const std::string findings = on_root(comm_, [&] {
    const fs::path folder = directory_.staged();
    write_file_atomically(folder / kMetadataFile, metadata({}).dump(2) + "\n");
    std::vector<std::string> problems = verify_artifacts(folder);
    try {
      const LoadedModel next = load_model(folder / "hf", {}, "cpu");
      if (!fs::exists(folder / "tokenizer")) problems.push_back("tokenizer/ is missing");
      if (next.decoder.parameter_count() != original_->decoder.parameter_count()) {
        problems.push_back("hf/ has another number of parameters than the original");
      }
    } catch (const Error& error) {
      problems.push_back(std::string("hf/ does not load: ") + error.what());
    }
    return nlohmann::json(problems).dump();
  });
  handoff_problems_ = nlohmann::json::parse(findings).get<std::vector<std::string>>();
}

}  // namespace tercet::job
