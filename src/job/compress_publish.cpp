// The last stages of the compress job: pack, re-read and measure, check the handoff, judge, publish.
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "compress_job.hpp"
#include "export_settings.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/model_io/torch_file.hpp"
#include "tercet/report/metadata.hpp"
#include "tercet/report/report.hpp"
#include "tercet/train/spill.hpp"
#include "trit_counts.hpp"

namespace tercet::job {

namespace fs = std::filesystem;

namespace {

// Its tensors as views of a file.
StoredTensor in_file(const fs::path& file, StoredTensor stored) {
  const std::vector<at::Tensor> views = spilled(file, {stored.codes, stored.scales, stored.zero_points});
  stored.codes = views[0];
  stored.scales = views[1];
  stored.zero_points = views[2];
  return stored;
}

// Of a student that streams, the tensors lie in files of `folder`.
PackedModel packed_from(const Student& student, const nlohmann::json& provenance, const fs::path& folder) {
  const at::NoGradGuard no_grad;
  PackedModel model;
  model.config = student.decoder().config();
  model.activation_bits = student.decoder().activation_bits();
  model.provenance = provenance;
  for (const TrainedParameter& parameter : student.parameters()) {
    const at::Tensor value = as_output_first(parameter.full_master(), parameter.input_first);
    StoredTensor stored = store(value, *parameter.spec, on_device(parameter.calibration, value.device()));
    if (parameter.stream) {
      const std::string name = "packed-" + std::to_string(model.tensors.size()) + ".safetensors";
      stored = in_file(folder / name, std::move(stored));
    }
    model.tensors.push_back({parameter.name, to_string(parameter.role), parameter.input_first, std::move(stored)});
  }
  return model;
}

// A file or folder of the artifacts that is made from the packed model. `made_by` names the unit of work: the place,
// and what the content depends on besides the packed file.
struct Export {
  std::string place, made_by;
  std::function<void(const fs::path&)> write;
};

// Of a file, or of all files below a folder with their names.
std::string hash_of_tree(const fs::path& path) {
  if (!fs::is_directory(path)) return sha256_file(path);
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(path).string()] = sha256_file(entry.path());
  }
  return sha256_hex(nlohmann::json(files).dump());
}

// What a kill left half written, or somebody put there, must not be published.
void remove_strays(const fs::path& folder, const std::vector<Export>& exports) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name == kPackedFile || std::any_of(exports.begin(), exports.end(),
                                                         [&](const Export& each) { return each.place == name; });
    if (!ours) fs::remove_all(entry.path());
  }
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

// The packed file first: its hash names everything that is made from it.
void CompressJob::pack() {
  PackedModel model;  // on rank 0
  const fs::path tokenizer = original_->location.tokenizer;
  ExportSettings settings = export_settings(config_, *original_);
  const std::uint64_t shard = settings.shard_bytes;
  std::vector<Export> exports = {
      {kDequantizedFile, kDequantizedFile, [&](const fs::path& to) { write_dequantized_pt(to, model); }},
      {"hf", "hf/" + std::to_string(shard),
       [&](const fs::path& to) { write_hf_folder(to, model, config_.model.path, tokenizer, shard); }},
      {"tokenizer", "tokenizer", [&](const fs::path& to) { copy_tokenizer(tokenizer, to); }}};
  const std::string variant = "/" + settings.gguf_type + "/" + std::to_string(shard);
  for (const std::string& name : config_.exports.formats) {
    const ExportFormat& format = export_format(name);
    exports.push_back({format.place(), name + variant, [&](const fs::path& to) { format.write(to, model, settings); }});
  }
  packed_hash_ = on_root(comm_, [&] {
    fs::create_directories(directory_.staged());
    remove_strays(directory_.staged(), exports);
    model = packed_from(*student_, provenance(), streamed_folder());
    write_packed_model(directory_.staged() / kPackedFile, model);
    trits_ = to_json(trit_counts(model));
    run_file_.provenance(kTritsKey, trits_);
    for (const std::string& name : config_.exports.formats) {
      export_choices_[name] = export_format(name).choice(model, settings);
      log::info("    " + name + ": " + export_choices_[name].get<std::string>());
    }
    return sha256_file(directory_.staged() / kPackedFile);
  });
  settings.packed_sha256 = packed_hash_;
  for (const Export& each : exports) {
    on_root(comm_, [&] {
      export_once(each.place, each.made_by, each.write);
      return std::string();
    });
    if (stop_.due()) stop_.leave("the job, after '" + each.place + "' was written,");
  }
}

// On rank 0. Leaves alone what an earlier attempt wrote from the same packed file; what it left half done goes.
void CompressJob::export_once(const std::string& place, const std::string& made_by,
                              const std::function<void(const fs::path&)>& write) {
  const fs::path target = directory_.staged() / place;
  const std::string unit = "export/" + packed_hash_ + "/" + made_by;
  const auto known = work_->find(unit);
  if (known && fs::exists(target) && *known == hash_of_tree(target)) return;
  fs::remove_all(target);
  write(target);
  work_->add(unit, hash_of_tree(target));
}

// Everything measured here is read back from the files that were just written.
void CompressJob::measure_packed() {
  std::optional<LoadedModel> packed;
  std::optional<Decoder> dequantized;
  on_every_rank(comm_, [&] {
    packed.emplace(
        load_model(directory_.staged() / kPackedFile, {}, runtime_.device(), WeightForm::kDense, residence()));
    dequantized.emplace(Decoder::from_parameters(original_->decoder.config(),
                                                 read_state_dict(directory_.staged() / kDequantizedFile),
                                                 runtime_.device(), residence()));
  });
  packed_bytes_ = fs::file_size(directory_.staged() / kPackedFile);
  dequantized_bytes_ = fs::file_size(directory_.staged() / kDequantizedFile);
  if (!allocation_.is_null()) compare_bytes_with_prediction();
  const std::string of = "/" + packed_hash_.substr(0, 16);
  packed_ = evaluate_here("packed" + of, packed->decoder, &original_->decoder);
  record_evaluation("packed", packed_);
  measure_tasks("packed", "packed" + of, packed->decoder, &TaskFigures::packed);
  dequantized->set_activation_bits(packed->decoder.activation_bits());
  agreement_ = evaluate_here("dequantized-packed" + of, *dequantized, &packed->decoder).top1_agreement;
  dequantized->set_activation_bits(16);
  dequantized_ = evaluate_here("dequantized" + of, *dequantized, &original_->decoder);
  record_evaluation("dequantized", dequantized_);
  gradient_flow_ = check_gradient_flow(*dequantized, windows_, std::min<std::int64_t>(4, config_.evaluation.batch));
  for (const std::string& problem : gradient_flow_.problems) log::warn("gradient flow: " + problem);
}

// As the next phase would: the files exist, load, and agree.
void CompressJob::check_handoff() {
  const std::string findings = on_root(comm_, [&] {
    const fs::path folder = directory_.staged();
    write_file_atomically(folder / kMetadataFile, metadata_text(metadata({})));
    std::vector<std::string> problems = verify_artifacts(folder);
    try {
      const LoadedModel next = load_model(folder / "hf", {}, "cpu", WeightForm::kDense, residence());
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
