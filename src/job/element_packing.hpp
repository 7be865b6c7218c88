// Which CPUs and GPUs of this node an element gets. Pure, but for node_slots().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tercet::job {

struct Slots {
  std::vector<int> cpus;          // as Linux numbers them
  std::vector<std::string> gpus;  // as CUDA_VISIBLE_DEVICES names them
};

struct Need {
  std::int64_t cpus = 0;  // 0, or as many as the node has or more: all of them
  std::int64_t gpus = 0;
};

// What this process may use: its affinity (not more CPUs than a container's quota grants), CUDA_VISIBLE_DEVICES or the
// node's GPUs.
Slots node_slots();

// Why an element can never run on this node, or "".
std::string why_impossible(const Slots& node, const Need& need);

// Takes the need out of `free`, lowest numbers first; nullopt, with `free` untouched, when it has to wait. One that
// takes all CPUs waits until nothing else runs.
std::optional<Slots> take(const Slots& node, Slots& free, const Need& need);
void give_back(Slots& free, const Slots& taken);

std::string cpu_list(const std::vector<int>& cpus);                     // "0-3,8"
std::string gpu_list(const std::vector<std::string>& gpus);             // "0,1"
std::int64_t threads_per_rank(const Slots& taken, std::int64_t ranks);  // at least 1

}  // namespace tercet::job
