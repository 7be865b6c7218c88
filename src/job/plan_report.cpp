#include "plan_report.hpp"

#include <algorithm>

#include "tercet/base/file.hpp"
#include "tercet/base/text.hpp"

namespace tercet::job {
namespace {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

double ratio_to_fp32(const PlannedJob& job, const Plan& plan) {
  return 4.0 * static_cast<double>(job.parameters()) / static_cast<double>(plan.disk.artifacts.front().bytes);
}

int nodes(const PlannedJob& job, const Plan& plan) {
  return (job.ranks + plan.node.ranks_per_node - 1) / plan.node.ranks_per_node;
}

json memory_json(const PlannedJob& job, const Plan& plan) {
  json stages = json::object();
  for (const MemoryStage& stage : plan.memory.stages) {
    json items = json::object();
    for (const MemoryItem& item : stage.items) items[item.name] = item.bytes;
    items["total"] = stage.total();
    stages[stage.name] = items;
  }
  return {{"stages", stages},
          {"process", plan.memory.process},
          {"device", job.device},
          {"largest_stage", plan.memory.largest().name},
          {"total", plan.memory.per_rank()}};
}

json disk_json(const PlannedJob& job, const DiskPlan& disk) {
  const CheckpointSize& checkpoint = disk.checkpoint;
  return {{"checkpoint",
           {{"bytes", checkpoint.bytes()},
            {"state_bytes", checkpoint.state_bytes},
            {"manifest_bytes", checkpoint.manifest_bytes},
            {"tensors", checkpoint.tensors},
            {"least_of_rank", checkpoint.least_of_rank},
            {"most_of_rank", checkpoint.most_of_rank},
            {"exact", checkpoint.exact}}},
          {"checkpoints_at_once", disk.checkpoints},
          {"token_cache", disk.token_cache},
          {"unfinished_work", disk.unfinished},
          {"rounds", disk.rounds},
          {"records", disk.records},
          {"total", disk.total()},
          {"free", free_space(job.config.output)}};
}

json sharing_json(const std::vector<Sharing>& world) {
  json rows = json::array();
  for (const Sharing& share : world) {
    rows.push_back({{"what", share.what},
                    {"items", share.items},
                    {"least", share.least},
                    {"most", share.most},
                    {"idle_ranks", share.idle},
                    {"exact", share.exact}});
  }
  return rows;
}

json step_json(const StepCost& cost) {
  return {{"ranks", cost.ranks},
          {"seconds", cost.total()},
          {"step_seconds", cost.step()},
          {"compute_seconds", cost.compute},
          {"communication_seconds", cost.communication},
          {"exposed_seconds", cost.exposed},
          {"exposed_share", cost.exposed / cost.total()},
          {"evaluation_seconds", cost.evaluation},
          {"checkpoint_seconds", cost.checkpoint},
          {"tokens_per_second", cost.tokens_per_second},
          {"efficiency", cost.efficiency}};
}

json time_json(const TimePlan& time) {
  json inputs = json::array(), scaling = json::array();
  for (const NamedInput& input : time.inputs) {
    inputs.push_back({{"name", input.name}, {"value", input.value}, {"unit", input.unit}, {"origin", input.origin}});
  }
  for (const StepCost& cost : time.steps) scaling.push_back(step_json(cost));
  return {{"inputs", inputs},
          {"scaling", scaling},
          {"seconds",
           {{"calibrate", time.calibrate_s},
            {"tune blocks", time.tune_blocks_s},
            {"evaluate", time.evaluate_s},
            {"measure the speed", time.speed_s},
            {"fine-tune", time.fine_tune_s}}}};
}

std::string heading(const PlannedJob& job, const Plan& plan) {
  const auto parameters = static_cast<std::int64_t>(job.parameters());
  return "model: " + format_count(job.parameters()) + " parameters (" + size_category(parameters) + "), compression " +
         format_fixed(ratio_to_fp32(job, plan), 2) + "x against fp32, target " +
         format_fixed(compression_target(parameters), 0) + "x\nworld: " + std::to_string(job.ranks) + " ranks on " +
         std::to_string(nodes(job, plan)) + " nodes, text about " + format_count(job.text_tokens()) + " tokens\n\n";
}

std::string range_text(const PlannedJob& job) {
  if (!job.range) return "";
  const std::string chosen = job.range->budget ? "; the target leaves " + format_count(*job.range->budget)
                                               : "; the target is tried on the way";
  return "bits per layer: a packed file of " + format_count(job.range->smallest) + " to " +
         format_count(job.range->largest) + " bytes" + chosen + "\n\n";
}

json range_json(const PlannedJob& job) {
  if (!job.range) return nullptr;
  return {{"smallest_bytes", job.range->smallest},
          {"largest_bytes", job.range->largest},
          {"budget_bytes", job.range->budget ? json(*job.range->budget) : json()}};
}

std::string sharing_table(const Plan& plan) {
  Rows rows{{"dealt out", "items", "least", "most", "idle ranks", "each once"}};
  for (const Sharing& share : plan.world) {
    rows.push_back({share.what, std::to_string(share.items), std::to_string(share.least), std::to_string(share.most),
                    std::to_string(share.idle), share.exact ? "yes" : "NO"});
  }
  return format_table(rows) + "\n";
}

std::string memory_table(const Plan& plan) {
  const MemoryStage& stage = plan.memory.largest();
  Rows rows{{"memory of one rank (" + stage.name + ")", "bytes"}};
  for (const MemoryItem& item : stage.items) {
    if (item.bytes > 0) rows.push_back({item.name, format_bytes(item.bytes)});
  }
  rows.push_back({"program and libraries", format_bytes(plan.memory.process)});
  rows.push_back({"together", format_bytes(plan.memory.per_rank())});
  rows.push_back({"on a node, " + std::to_string(plan.node.ranks_per_node) + " ranks",
                  format_bytes(plan.memory.per_rank() * static_cast<std::uint64_t>(plan.node.ranks_per_node))});
  rows.push_back({"a node has", format_bytes(plan.node.memory)});
  return format_table(rows) + "\n";
}

std::string disk_table(const PlannedJob& job, const DiskPlan& disk) {
  Rows rows{{"on disk", "bytes"}};
  for (const DiskItem& item : disk.artifacts) rows.push_back({item.name, format_bytes(item.bytes)});
  if (disk.checkpoints > 0) {
    rows.push_back({"a checkpoint, at most " + std::to_string(disk.checkpoints) + " at once",
                    format_bytes(disk.checkpoint.bytes())});
    rows.push_back({"of it, one rank writes at most", format_bytes(disk.checkpoint.most_of_rank)});
  }
  rows.push_back({"token cache, about", format_bytes(disk.token_cache)});
  rows.push_back({"unfinished work, about", format_bytes(disk.unfinished)});
  if (disk.rounds > 0) rows.push_back({"other rounds until the end, about", format_bytes(disk.rounds)});
  rows.push_back({"records and logs, about", format_bytes(disk.records)});
  rows.push_back({"together, with all checkpoints", format_bytes(disk.total())});
  rows.push_back({"free", format_bytes(free_space(job.config.output))});
  return format_table(rows) + "\n";
}

std::string number(double value) {
  return format_fixed(value, value != 0 && std::abs(value) < 1 ? 5 : 2);
}

std::string inputs_table(const TimePlan& time) {
  Rows rows{{"reckoned with", "value", "unit", "where from"}};
  for (const NamedInput& input : time.inputs)
    rows.push_back({input.name, number(input.value), input.unit, input.origin});
  return format_table(rows) + "\n";
}

std::string scaling_rows(const TimePlan& time) {
  Rows rows{{"ranks", "s a step", "computing", "waiting for sums", "share", "evaluation", "checkpoint", "tokens/s",
             "efficiency"}};
  for (const StepCost& cost : time.steps) {
    rows.push_back({std::to_string(cost.ranks), format_fixed(cost.total(), 4), format_fixed(cost.compute, 4),
                    format_fixed(cost.exposed, 4), format_fixed(100 * cost.exposed / cost.total(), 1) + " %",
                    format_fixed(cost.evaluation, 4), format_fixed(cost.checkpoint, 4),
                    format_fixed(cost.tokens_per_second, 0), format_fixed(100 * cost.efficiency, 1) + " %"});
  }
  return format_table(rows) + "\n";
}

std::string time_text(const PlannedJob& job, const TimePlan& time) {
  if (time.steps.empty()) return "no fine-tuning\n";
  return inputs_table(time) + scaling_rows(time) + "about " + format_duration(time.calibrate_s) + " to calibrate, " +
         (time.tune_blocks_s > 0 ? format_duration(time.tune_blocks_s) + " to tune blocks, " : "") +
         format_duration(time.fine_tune_s) + " to fine-tune (" + std::to_string(job.training.schedule.total_steps) +
         " steps), " + format_duration(time.evaluate_s) + " to measure quality, " + format_duration(time.speed_s) +
         " to measure speed; loading, tokenizing and packing come on top (docs/scaling.md)\n";
}

}  // namespace

json to_json(const PlannedJob& job, const Plan& plan) {
  const auto parameters = static_cast<std::int64_t>(job.parameters());
  const bool training = !plan.time.steps.empty();
  json artifacts = json::object();
  for (const DiskItem& item : plan.disk.artifacts) artifacts[item.name] = item.bytes;
  return {{"parameters", parameters},
          {"size_category", size_category(parameters)},
          {"compression_target", compression_target(parameters)},
          {"expected_ratio_fp32", ratio_to_fp32(job, plan)},
          {"world_size", job.ranks},
          {"ranks_per_node", plan.node.ranks_per_node},
          {"nodes", nodes(job, plan)},
          {"steps", job.training.schedule.total_steps},
          {"text_tokens", job.text_tokens()},
          {"memory_per_rank", memory_json(job, plan)},
          {"memory_per_node", plan.memory.per_rank() * static_cast<std::uint64_t>(plan.node.ranks_per_node)},
          {"node_memory", plan.node.memory},
          {"artifacts", artifacts},
          {"allocation", range_json(job)},
          {"disk", disk_json(job, plan.disk)},
          {"sharing", sharing_json(plan.world)},
          {"time", time_json(plan.time)},
          {"expected_training_seconds", plan.time.fine_tune_s},
          {"expected_tokens_per_second", training ? plan.time.steps.back().tokens_per_second : 0.0},
          {"notes", plan.notes}};
}

std::string to_text(const PlannedJob& job, const Plan& plan) {
  std::string text = heading(job, plan) + range_text(job) + memory_table(plan) + disk_table(job, plan.disk) +
                     sharing_table(plan) + time_text(job, plan.time);
  for (const std::string& note : plan.notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace tercet::job
