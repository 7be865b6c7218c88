#include "config/relations.hpp"

#include <algorithm>
#include <filesystem>
#include <initializer_list>

#include "config/print.hpp"

namespace tercet::config {
namespace {

class Relations {
 public:
  Relations(const JobConfig& config, const Reader& reader, Problems& problems)
      : config_(config), reader_(reader), problems_(problems) {}

  void check() {
    check_batches();
    check_calibration();
    check_blockwise();
    check_text();
    check_folders();
    check_gates();
    check_tasks();
    check_exports();
    check_format();
    check_layers("quantization.layers", config_.quantization.layers);
    check_layers("allocation.formats", config_.allocation.formats);
    check_layers("progressive.formats", config_.progressive.formats);
    check_target();
    check_progressive();
    check_remedies();
    check_solver();
    check_streaming();
    check_devices();
    check_pretrained_model();
  }

 private:
  // Notes `text` at the first of `keys` unless `holds`, or one of them has a mistake of its own. The place is that of
  // the first key the user wrote.
  void require(bool holds, std::initializer_list<std::string> keys, const std::string& text) {
    if (holds) return;
    if (std::any_of(keys.begin(), keys.end(), [this](const std::string& key) { return problems_.concerns(key); })) {
      return;
    }
    const auto written = std::find_if(keys.begin(), keys.end(), [this](const std::string& key) {
      return reader_.place_of(key).line > 0 || is_written(config_, key);
    });
    problems_.add(reader_.place_of(written == keys.end() ? *keys.begin() : *written), *keys.begin(), text);
  }

  bool wrote_section(const std::string& prefix) const {
    return std::any_of(config_.written.begin(), config_.written.end(),
                       [&prefix](const std::string& key) { return key.starts_with(prefix); });
  }

  void check_batches() {
    const auto& training = config_.training;
    const std::int64_t length = config_.data.sequence_length;
    require(length < 1 || training.global_batch_tokens % length == 0,
            {"training.global_batch_tokens", "data.sequence_length"},
            "must be a multiple of data.sequence_length (" + print_value(length) + "), not " +
                print_value(training.global_batch_tokens));
    require(!training.enabled || training.tokens >= training.global_batch_tokens,
            {"training.tokens", "training.global_batch_tokens"},
            "must hold at least one step of training.global_batch_tokens (" +
                print_value(training.global_batch_tokens) + "), not " + print_value(training.tokens));
  }

  void check_blockwise() {
    const auto& blockwise = config_.blockwise;
    require(!blockwise.enabled || blockwise.samples % blockwise.batch == 0, {"blockwise.samples", "blockwise.batch"},
            "must be a multiple of blockwise.batch (" + print_value(blockwise.batch) + "), not " +
                print_value(blockwise.samples));
  }

  void check_calibration() {
    const auto& calibration = config_.calibration;
    require(!calibration.samples || *calibration.samples >= calibration.shards,
            {"calibration.samples", "calibration.shards"},
            "must give each of the calibration.shards (" + print_value(calibration.shards) + ") a sequence, not " +
                print_value(calibration.samples.value_or(0)));
  }

  void check_text() {
    const auto& data = config_.data;
    require(!data.evaluation.empty() || data.held_out_fraction > 0, {"data.held_out_fraction", "data.evaluation"},
            "must be above 0 when data.evaluation names no file: nothing would be left to measure on");
    for (std::size_t i = 0; i < data.sources.size(); ++i) {
      const auto same = [&](const SourceConfig& other) { return other.path == data.sources[i].path; };
      const std::string key = "data.sources[" + std::to_string(i) + "]";
      const auto before = data.sources.begin() + static_cast<std::ptrdiff_t>(i);
      require(std::none_of(data.sources.begin(), before, same), {key}, "is listed twice; use its weight instead");
    }
    for (std::size_t i = 0; i < data.evaluation.size(); ++i) {
      const auto same = [&](const SourceConfig& source) { return source.path == data.evaluation[i]; };
      require(std::none_of(data.sources.begin(), data.sources.end(), same),
              {"data.evaluation[" + std::to_string(i) + "]"},
              "is also a training source: a model must be measured on text that it has not seen");
    }
  }

  void check_folders() {
    if (config_.model.path.empty() || config_.output.empty()) return;
    const auto inside = std::filesystem::path(config_.output).lexically_relative(config_.model.path);
    require(inside.empty() || *inside.begin() == "..", {"output", "model.path"},
            "must not be the model's folder or lie inside it: the original is never written to");
  }

  void check_gates() {
    const auto& gates = config_.gates;
    require(gates.sparsity_max >= gates.sparsity.threshold, {"gates.sparsity.maximum", "gates.sparsity.threshold"},
            "must not be below gates.sparsity.threshold (" + print_value(gates.sparsity.threshold) + ")");
  }

  void check_tasks() {
    const auto& tasks = config_.evaluation.tasks;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const auto same = [&](const TaskConfig& other) { return other.name == tasks[i].name; };
      const auto before = tasks.begin() + static_cast<std::ptrdiff_t>(i);
      require(std::none_of(tasks.begin(), before, same), {"evaluation.tasks[" + std::to_string(i) + "]"},
              "is listed twice; a folder takes several files of a task together");
    }
    const std::string& judged = config_.gates.accuracy_task;
    const auto is_judged = [&](const TaskConfig& task) { return task.name == judged; };
    require(judged.empty() || std::any_of(tasks.begin(), tasks.end(), is_judged), {"gates.accuracy.task"},
            "must be one of evaluation.tasks, '" + judged + "' is not");
    require(!judged.empty() || config_.gates.accuracy_metric == "acc", {"gates.accuracy.metric", "gates.accuracy.task"},
            "needs gates.accuracy.task: next-token accuracy has no other metric");
  }

  void check_exports() {
    const auto& formats = config_.exports.formats;
    for (std::size_t i = 0; i < formats.size(); ++i) {
      const auto before = formats.begin() + static_cast<std::ptrdiff_t>(i);
      require(std::find(formats.begin(), before, formats[i]) == before, {"export.formats[" + std::to_string(i) + "]"},
              "is listed twice");
    }
  }

  void check_format() {
    const auto& quantization = config_.quantization;
    if (quantization.format == "float16") return;  // it has neither levels nor scales
    const bool ternary = is_ternary(quantization.format);
    require(!ternary || quantization.rule != "min_max", {"quantization.rule", "quantization.format"},
            "min_max is for integers; " + quantization.format + " takes absmean, least_squares or calibrated");
    require(ternary || quantization.rule == "min_max" || quantization.rule == "calibrated",
            {"quantization.rule", "quantization.format"},
            quantization.rule + " is for ternary; " + quantization.format + " takes min_max or calibrated");
    require(!ternary || quantization.symmetric, {"quantization.symmetric", "quantization.format"},
            "false is for integers; trits have no zero point");
  }

  void check_layers(const std::string& key, const std::vector<LayerFormat>& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string item = key + "[" + std::to_string(i) + "]";
      const QuantizationSection settings = as_for(config_.quantization, rows[i]);
      if (settings.format == "float16") continue;
      require(takes_rule(settings.format, settings.rule), {item},
              settings.rule + " is no rule of " + settings.format + ", which takes " +
                  (is_ternary(settings.format) ? "absmean, least_squares or calibrated" : "min_max or calibrated"));
      require(!is_ternary(settings.format) || settings.symmetric, {item},
              "symmetric: false is for integers; trits have no zero point");
      const bool own_rule = !rows[i].rule.empty();  // another one is judged where it was set
      require(config_.quantization.solver != "compensated" || !own_rule || settings.rule == "calibrated", {item},
              "needs rule: calibrated with quantization.solver: compensated");
    }
  }

  void check_target() {
    const auto& rows = config_.quantization.layers;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      require(!rows[i].match.empty() || !rows[i].role.empty(), {"quantization.layers[" + std::to_string(i) + "]"},
              "names no matrix: it needs match or role");
    }
    const auto& target = config_.target;
    std::vector<std::string> set;
    if (target.perplexity_degradation > 0) set.push_back("target.perplexity_degradation");
    if (target.size_mb > 0) set.push_back("target.size_mb");
    if (target.ratio > 0) set.push_back("target.ratio");
    if (target.like != "none") set.push_back("target.like");
    if (set.size() > 1) require(false, {set[1], set[0]}, "and " + set[0] + " are two targets; only one can be reached");
    require(set.empty() || !config_.allocation.formats.empty(), {"allocation.formats"},
            "is empty: a target needs formats to choose from");
  }

  void check_progressive() {
    const auto& stages = config_.progressive.formats;
    if (stages.empty()) return;
    require(stages.size() > 1, {"progressive.formats"}, "needs two stages or more; one is quantization.format");
    require(!has_target(config_), {"progressive.formats"},
            "and a target cannot be combined: a target chooses the formats by itself");
    require(config_.training.enabled || config_.blockwise.enabled, {"progressive.formats"},
            "needs training.enabled or blockwise.enabled: without either a stage has nothing to give the next");
    for (std::size_t i = 0; i < stages.size(); ++i) {
      const std::string item = "progressive.formats[" + std::to_string(i) + "]";
      require(stages[i].match.empty() && stages[i].role.empty(), {item},
              "names matrices; a stage is for all of them, exceptions belong to quantization.layers");
      require(bits_rank(stages[i].format) > 0, {item}, "must be ternary, ternary5, int2, int3, int4, int6 or int8");
      const bool falls = i == 0 || bits_rank(stages[i].format) < bits_rank(stages[i - 1].format);
      require(falls, {item}, "must have fewer bits than " + (i == 0 ? "" : stages[i - 1].format) + " before it");
    }
    require_steps_of_stages(stages.size());
  }

  void require_steps_of_stages(std::size_t stages) {
    const auto& training = config_.training;
    std::int64_t least = training.tokens;
    for (std::size_t i = 0; i < stages; ++i) least = std::min(least, tokens_of_stage(config_, i, training.tokens));
    require(!training.enabled || least >= training.global_batch_tokens, {"training.tokens", "progressive.last_share"},
            "must give each stage of progressive.formats one step of training.global_batch_tokens (" +
                print_value(training.global_batch_tokens) + "); one of " + print_value(training.tokens) +
                " would get " + print_value(least));
  }

  // Larger for a format that tells more values apart; 0: no stage.
  static int bits_rank(const std::string& format) {
    constexpr const char* kUpwards[] = {"ternary5", "ternary", "int2", "int3", "int4", "int6", "int8"};
    const auto found = std::find(std::begin(kUpwards), std::end(kUpwards), format);
    return found == std::end(kUpwards) ? 0 : static_cast<int>(found - std::begin(kUpwards)) + 1;
  }

  void check_remedies() {
    const auto& remedies = config_.remedies;
    if (remedies.rounds == 0) return;
    const auto& order = remedies.order;
    require(!order.empty(), {"remedies.order"}, "is empty: nothing can be tried");
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto before = order.begin() + static_cast<std::ptrdiff_t>(i);
      require(std::find(order.begin(), before, order[i]) == before, {"remedies.order[" + std::to_string(i) + "]"},
              "is listed twice");
    }
    const bool only_trains = order == std::vector<std::string>{"more_training"};
    require(!only_trains || config_.training.enabled, {"remedies.order", "training.enabled"},
            "has more_training alone, which needs training.enabled");
    require(!has_target(config_) || only_trains, {"remedies.order", "remedies.rounds"},
            "must be [more_training] with a target, which has chosen the formats");
    require(!config_.training.enabled || tokens_of_remedy(config_) > 0, {"remedies.tokens", "remedies.rounds"},
            "must give each of remedies.rounds (" + print_value(remedies.rounds) +
                ") one step of training.global_batch_tokens (" + print_value(config_.training.global_batch_tokens) +
                "), not " + print_value(remedies.tokens));
  }

  void check_solver() {
    const auto& quantization = config_.quantization;
    require(quantization.solver != "compensated" || quantization.rule == "calibrated",
            {"quantization.solver", "quantization.rule"},
            "needs quantization.rule: calibrated, which training goes on with");
    const bool fixed_scales = quantization.solver == "compensated" && may_hold_integers();
    require(!fixed_scales || !config_.training.enabled || config_.training.qk_clip == 0,
            {"training.qk_clip", "quantization.solver"},
            "cannot shrink query and key: integers keep the scales that quantization.solver: compensated gives them");
  }

  bool may_hold_integers() const {
    const auto is_integer = [](const std::string& format) { return !is_ternary(format) && format != "float16"; };
    const auto holds = [&](const LayerFormat& row) { return is_integer(as_for(config_.quantization, row).format); };
    const auto& layers = config_.quantization.layers;
    const auto& candidates = config_.allocation.formats;
    const auto& stages = config_.progressive.formats;
    const auto& remedies = config_.remedies;
    const bool lifts = remedies.rounds > 0 &&
                       std::find(remedies.order.begin(), remedies.order.end(), "lift_layers") != remedies.order.end();
    if (lifts || std::any_of(stages.begin(), stages.end(), holds)) return true;
    return is_integer(config_.quantization.format) || std::any_of(layers.begin(), layers.end(), holds) ||
           (has_target(config_) && std::any_of(candidates.begin(), candidates.end(), holds));
  }

  // What holds or moves all weights at once.
  void check_streaming() {
    if (!streams_weights(config_)) return;
    const auto refuse = [&](bool asked, const std::string& key, const std::string& works) {
      require(!asked, {key, "model.weights"}, "needs all weights in memory, and model.weights is streamed; " + works);
    };
    refuse(config_.training.enabled, "training.enabled", "false works, with blockwise.enabled: true to tune");
    refuse(!config_.progressive.formats.empty(), "progressive.formats", "one stage works");
    refuse(config_.remedies.rounds > 0, "remedies.rounds", "0 works");
    const auto& target = config_.target;
    const std::string by_hand = "quantization.layers chooses formats without measuring";
    refuse(target.perplexity_degradation > 0, "target.perplexity_degradation", by_hand);
    refuse(target.size_mb > 0, "target.size_mb", by_hand);
    refuse(target.ratio > 0, "target.ratio", by_hand);
    refuse(target.like != "none", "target.like", by_hand);
    refuse(config_.calibration.second_moment, "calibration.second_moment", "false works");
    refuse(config_.quantization.solver == "compensated" && !config_.quantization.solver_sequential,
           "quantization.solver_sequential", "true works");
    refuse(config_.gates.speedup.severity == "fail", "gates.speedup.severity", "warn works: speed is not measured");
  }

  void check_devices() {
    const auto& distributed = config_.distributed;
    require(distributed.backend != "nccl" || distributed.device != "cpu", {"distributed.backend", "distributed.device"},
            "nccl moves tensors between GPUs, but distributed.device is cpu");
  }

  void check_pretrained_model() {
    const auto& model = config_.pretrain;
    if (model.heads < 1 || model.kv_heads < 1) return;
    require(
        model.heads % model.kv_heads == 0, {"pretrain.kv_heads", "pretrain.heads"},
        "must divide pretrain.heads (" + print_value(model.heads) + "), " + print_value(model.kv_heads) + " does not");
    require(model.hidden_size % (2 * model.heads) == 0, {"pretrain.hidden_size", "pretrain.heads"},
            "must be an even multiple of pretrain.heads (" + print_value(model.heads) + "), " +
                print_value(model.hidden_size) + " is not");
    // A job that compresses: the model tells its own limit. A resolved configuration has the keys of pretrain too.
    if (!wrote_section("pretrain.") || !config_.model.path.empty()) return;
    require(config_.data.sequence_length <= model.max_positions, {"data.sequence_length", "pretrain.max_positions"},
            "is longer than pretrain.max_positions (" + print_value(model.max_positions) + ")");
    require(config_.evaluation.sequence_length <= model.max_positions,
            {"evaluation.sequence_length", "pretrain.max_positions"},
            "is longer than pretrain.max_positions (" + print_value(model.max_positions) + ")");
  }

  const JobConfig& config_;
  const Reader& reader_;
  Problems& problems_;
};

}  // namespace

void check_relations(const JobConfig& config, const Reader& reader, Problems& problems) {
  Relations(config, reader, problems).check();
}

}  // namespace tercet::config
