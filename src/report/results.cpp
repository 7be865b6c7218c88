#include "tercet/report/results.hpp"

#include "tercet/base/error.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/store/number_json.hpp"

namespace tercet {
namespace {

using nlohmann::json;

json optional_to_json(const std::optional<double>& value) {
  return value ? number_to_json(*value) : json();
}
json optional_to_json(const std::optional<bool>& value) {
  return value ? json(*value) : json();
}

std::optional<double> number_or_none(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(number_from_json(value));
}

std::optional<bool> flag_or_none(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<bool>());
}

json to_json(const Figures& figures) {
  return {{"nll", optional_to_json(figures.nll)},
          {"perplexity", optional_to_json(figures.perplexity)},
          {"accuracy", optional_to_json(figures.accuracy)},
          {"agreement", optional_to_json(figures.agreement)},
          {"kl", optional_to_json(figures.kl)}};
}

Figures figures_from_json(const json& object) {
  return {number_or_none(object.at("nll")), number_or_none(object.at("perplexity")),
          number_or_none(object.at("accuracy")), number_or_none(object.at("agreement")),
          number_or_none(object.at("kl"))};
}

std::optional<double> number_if_there(const json& object, const char* key) {
  return object.contains(key) ? number_or_none(object.at(key)) : std::nullopt;
}

TaskResult task_result_from_json(const json& object) {
  return {number_if_there(object, "acc"), number_if_there(object, "acc_stderr"), number_if_there(object, "acc_norm"),
          number_if_there(object, "acc_norm_stderr"), number_if_there(object, "perplexity")};
}

TaskFigures task_from_json(const json& object) {
  return {object.at("task"),
          object.at("path"),
          object.at("sha256"),
          json_integer(object.at("limit"), "limit", "the results", 0),
          json_integer(object.at("documents"), "documents", "the results", 0),
          task_result_from_json(object.at("before")),
          task_result_from_json(object.at("packed"))};
}

json to_json(const std::optional<FineTuning>& fine_tuning) {
  if (!fine_tuning) return {};
  return {{"steps", fine_tuning->steps}, {"epochs", fine_tuning->epochs}, {"seconds", fine_tuning->seconds}};
}

std::optional<FineTuning> fine_tuning_from_json(const json& object) {
  if (object.is_null()) return std::nullopt;
  return FineTuning{json_integer(object.at("steps"), "steps", "the results", 0), object.at("epochs").get<double>(),
                    object.at("seconds").get<double>()};
}

// Of bytes, parameters, layers.
template <class Integer>
void read_count(const json& object, const char* key, Integer& count) {
  count = static_cast<Integer>(json_integer(object.at(key), key, "the results", 0));
}

RunResults read_results(const json& object) {
  RunResults results;
  object.at("baseline").get_to(results.baseline);
  read_count(object, "parameters", results.parameters);
  read_count(object, "ternary_parameters", results.ternary_parameters);
  // Runs before there were other formats: all quantized weights were ternary.
  read_count(object, object.contains("quantized_parameters") ? "quantized_parameters" : "ternary_parameters",
             results.quantized_parameters);
  read_count(object, "zero_parameters", results.zero_parameters);
  read_count(object, "layers_quantized", results.layers_quantized);
  read_count(object, "layers_compressed", results.layers_compressed);
  read_count(object, "fp32_bytes", results.fp32_bytes);
  read_count(object, "fp16_bytes", results.fp16_bytes);
  read_count(object, "file_bytes", results.file_bytes);
  read_count(object, "packed_bytes", results.packed_bytes);
  read_count(object, "dequantized_bytes", results.dequantized_bytes);
  results.before = figures_from_json(object.at("before"));
  results.quantized = figures_from_json(object.at("quantized"));
  results.packed = figures_from_json(object.at("packed"));
  results.codec_agreement = number_or_none(object.at("codec_agreement"));
  results.gradient_flow = flag_or_none(object.at("gradient_flow"));
  results.handoff = flag_or_none(object.at("handoff"));
  results.fine_tuning = fine_tuning_from_json(object.at("fine_tuning"));
  if (object.contains("speed") && !object.at("speed").is_null()) {  // absent before it was measured
    results.speed = speed_from_json(object.at("speed"));
    object.at("speed_baseline").get_to(results.speed_baseline);
  }
  if (!object.contains("tasks")) return results;  // written before there were any
  for (const json& task : object.at("tasks")) results.tasks.push_back(task_from_json(task));
  object.at("accuracy_task").get_to(results.accuracy_task);
  object.at("accuracy_metric").get_to(results.accuracy_metric);
  return results;
}

}  // namespace

std::optional<double> TaskResult::metric(const std::string& name) const {
  return name == "acc_norm" ? normalized_accuracy : accuracy;
}

std::optional<double> RunResults::sparsity() const {
  if (ternary_parameters <= 0) return std::nullopt;
  return static_cast<double>(zero_parameters) / static_cast<double>(ternary_parameters);
}

std::optional<double> RunResults::ratio(const std::string& baseline_name) const {
  const std::uint64_t bytes = baseline_name == "fp16" ? fp16_bytes : baseline_name == "file" ? file_bytes : fp32_bytes;
  if (bytes == 0 || packed_bytes == 0) return std::nullopt;
  return static_cast<double>(bytes) / static_cast<double>(packed_bytes);
}

json to_json(const TaskResult& result) {
  json object = json::object();
  const auto add = [&](const char* name, const std::optional<double>& value) {
    if (value) object[name] = number_to_json(*value);
  };
  add("acc", result.accuracy);
  add("acc_stderr", result.accuracy_stderr);
  add("acc_norm", result.normalized_accuracy);
  add("acc_norm_stderr", result.normalized_accuracy_stderr);
  add("perplexity", result.perplexity);
  return object;
}

json to_json(const TaskFigures& figures) {
  return {{"task", figures.name},
          {"path", figures.path},
          {"sha256", figures.sha256},
          {"limit", figures.limit},
          {"documents", figures.documents},
          {"before", to_json(figures.before)},
          {"packed", to_json(figures.packed)}};
}

json to_json(const std::vector<TaskFigures>& tasks) {
  json list = json::array();
  for (const TaskFigures& task : tasks) list.push_back(to_json(task));
  return list;
}

json to_json(const RunResults& results) {
  return {{"baseline", results.baseline},
          {"parameters", results.parameters},
          {"quantized_parameters", results.quantized_parameters},
          {"ternary_parameters", results.ternary_parameters},
          {"zero_parameters", results.zero_parameters},
          {"layers_quantized", results.layers_quantized},
          {"layers_compressed", results.layers_compressed},
          {"fp32_bytes", results.fp32_bytes},
          {"fp16_bytes", results.fp16_bytes},
          {"file_bytes", results.file_bytes},
          {"packed_bytes", results.packed_bytes},
          {"dequantized_bytes", results.dequantized_bytes},
          {"before", to_json(results.before)},
          {"quantized", to_json(results.quantized)},
          {"packed", to_json(results.packed)},
          {"codec_agreement", optional_to_json(results.codec_agreement)},
          {"gradient_flow", optional_to_json(results.gradient_flow)},
          {"handoff", optional_to_json(results.handoff)},
          {"tasks", to_json(results.tasks)},
          {"accuracy_task", results.accuracy_task},
          {"accuracy_metric", results.accuracy_metric},
          {"speed", results.speed ? to_json(*results.speed) : json()},
          {"speed_baseline", results.speed_baseline},
          {"fine_tuning", to_json(results.fine_tuning)}};
}

RunResults results_from_json(const json& object) {
  try {
    return read_results(object);
  } catch (const json::exception& error) {
    throw StoreError("the results in the run file cannot be read", error.what());
  } catch (const DataError& error) {
    throw StoreError("the results in the run file cannot be read", error.what());
  }
}

// A gate that is off was judged by nobody: the run file calls it skipped.
std::vector<GateRecord> gate_records(const Verdict& verdict) {
  std::vector<GateRecord> records;
  for (const GateResult& gate : verdict.gates) {
    records.push_back({gate.name, gate.verdict == "off" ? "skipped" : gate.verdict, gate.severity, gate.value,
                       gate.threshold, gate.comparison, gate.evidence});
  }
  return records;
}

Verdict verdict_of(const std::vector<GateRecord>& records) {
  Verdict verdict;
  verdict.passed = true;
  for (const GateRecord& record : records) {
    verdict.gates.push_back({record.name, record.verdict == "skipped" ? "off" : record.verdict, record.severity,
                             record.value, record.comparison, record.threshold, record.evidence});
    if (record.verdict == "fail" && record.severity == "fail") verdict.passed = false;
  }
  return verdict;
}

}  // namespace tercet
