#include "training_state.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <string>

#include "tercet/base/error.hpp"
#include "tercet/store/number_json.hpp"

namespace tercet::train {
namespace {

const std::string kMaster = "master.";
const std::string kBest = "best.";

}  // namespace

nlohmann::json to_metadata(const TrainingProgress& progress, const TrainingResult& result) {
  nlohmann::json metadata{{"first_loss", number_to_json(result.first_loss)},
                          {"last_loss", number_to_json(result.last_loss)},
                          {"seconds", result.seconds},
                          {"best_step", result.best_step},
                          {"rollbacks", result.rollbacks},
                          {"evaluated_at", progress.evaluated_at},
                          {"without_improvement", progress.without_improvement},
                          {"bad_steps", progress.bad_steps},
                          {"step_scale", progress.step_scale},
                          {"relation_weight", progress.relation_weight},
                          {"slowest_step_s", progress.slowest_step_s},
                          {"slowest_save_s", progress.slowest_save_s}};
  if (result.best_held_out_loss) metadata["best_held_out_loss"] = *result.best_held_out_loss;
  return metadata;
}

void from_metadata(const nlohmann::json& metadata, TrainingProgress& progress, TrainingResult& result) {
  try {
    result.first_loss = number_from_json(metadata.at("first_loss"));
    result.last_loss = number_from_json(metadata.at("last_loss"));
    result.seconds = metadata.at("seconds");
    result.best_step = metadata.at("best_step");
    result.rollbacks = metadata.at("rollbacks");
    result.best_held_out_loss.reset();
    if (metadata.contains("best_held_out_loss")) result.best_held_out_loss = metadata.at("best_held_out_loss");
    progress.evaluated_at = metadata.at("evaluated_at");
    progress.without_improvement = metadata.at("without_improvement");
    progress.bad_steps = metadata.at("bad_steps");
    progress.step_scale = metadata.at("step_scale");
    progress.relation_weight = metadata.at("relation_weight");
    progress.slowest_step_s = std::max<double>(progress.slowest_step_s, metadata.at("slowest_step_s"));
    progress.slowest_save_s = std::max<double>(progress.slowest_save_s, metadata.at("slowest_save_s"));
  } catch (const nlohmann::json::exception& error) {
    throw StoreError("a checkpoint cannot be taken up", error.what(), "it may be of another version of the program");
  }
}

StateTensors collect_tensors(const Optimizer& optimizer, const Student& student, const std::vector<at::Tensor>& best) {
  StateTensors tensors = optimizer.state();
  for (std::size_t i = 0; i < student.parameters().size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    tensors.emplace_back(kMaster + parameter.name, parameter.master.detach());
    if (!best.empty()) tensors.emplace_back(kBest + parameter.name, best[i]);
  }
  for (auto& [name, tensor] : tensors) tensor = tensor.contiguous();
  return tensors;
}

void restore_tensors(const StateTensors& saved, Optimizer& optimizer, Student& student, std::vector<at::Tensor>& best) {
  const at::NoGradGuard no_grad;
  StateTensors optimizer_state;
  std::map<std::string, at::Tensor> masters;
  for (const auto& [name, tensor] : saved) {
    const bool ours = name.starts_with(kMaster) || name.starts_with(kBest);
    if (ours) masters.emplace(name, tensor);
    if (!ours) optimizer_state.emplace_back(name, tensor);
  }
  optimizer.load(optimizer_state);
  best.clear();
  for (TrainedParameter& parameter : student.parameters()) {
    const auto master = masters.find(kMaster + parameter.name);
    if (master == masters.end()) throw StoreError("a checkpoint lacks the weights '" + parameter.name + "'");
    parameter.master.detach().copy_(master->second);
    const auto kept = masters.find(kBest + parameter.name);
    if (kept != masters.end())
      best.push_back(kept->second.to(parameter.master.device(), kept->second.scalar_type(), false, true));
  }
}

}  // namespace tercet::train
