#include "element_packing.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tercet::job {
namespace {

namespace fs = std::filesystem;

std::vector<int> affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

// CPUs that a container's quota amounts to; "max" means no quota.
std::size_t quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string granted;
  double period = 0;
  if (!(file >> granted >> period) || granted == "max" || period <= 0) return SIZE_MAX;
  const double cpus = std::strtod(granted.c_str(), nullptr) / period;
  return std::max<std::size_t>(1, static_cast<std::size_t>(cpus + 0.999));
}

// Counted by their device files: asking CUDA would occupy memory on each.
std::vector<std::string> visible_gpus() {
  std::vector<std::string> gpus;
  if (const char* chosen = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::istringstream words(chosen);
    for (std::string word; std::getline(words, word, ',');) {
      if (word.empty() || word == "-1") break;  // CUDA stops there too
      gpus.push_back(word);
    }
    return gpus;
  }
  for (int index = 0; fs::exists("/dev/nvidia" + std::to_string(index)); ++index) gpus.push_back(std::to_string(index));
  return gpus;
}

template <class Item>
std::vector<Item> take_first(std::vector<Item>& from, std::size_t count) {
  const auto end = from.begin() + static_cast<std::ptrdiff_t>(std::min(count, from.size()));
  std::vector<Item> taken(from.begin(), end);
  from.erase(from.begin(), end);
  return taken;
}

}  // namespace

Slots node_slots() {
  Slots node{affinity(), visible_gpus()};
  node.cpus.resize(std::min(node.cpus.size(), quota()));
  return node;
}

std::string why_impossible(const Slots& node, const Need& need) {
  if (static_cast<std::size_t>(need.gpus) <= node.gpus.size()) return "";
  return "it needs " + std::to_string(need.gpus) + " GPUs, and this node has " + std::to_string(node.gpus.size());
}

std::optional<Slots> take(const Slots& node, Slots& free, const Need& need) {
  const auto wanted = static_cast<std::size_t>(need.cpus);
  const std::size_t cpus = wanted == 0 ? node.cpus.size() : std::min(wanted, node.cpus.size());
  if (free.cpus.size() < cpus || free.gpus.size() < static_cast<std::size_t>(need.gpus)) return std::nullopt;
  return Slots{take_first(free.cpus, cpus), take_first(free.gpus, static_cast<std::size_t>(need.gpus))};
}

void give_back(Slots& free, const Slots& taken) {
  free.cpus.insert(free.cpus.end(), taken.cpus.begin(), taken.cpus.end());
  free.gpus.insert(free.gpus.end(), taken.gpus.begin(), taken.gpus.end());
  std::sort(free.cpus.begin(), free.cpus.end());
  std::sort(free.gpus.begin(), free.gpus.end());
}

std::string cpu_list(const std::vector<int>& cpus) {
  std::string text;
  for (std::size_t begin = 0; begin < cpus.size();) {
    std::size_t end = begin + 1;
    while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
    text += (text.empty() ? "" : ",") + std::to_string(cpus[begin]);
    if (end - begin > 1) text += "-" + std::to_string(cpus[end - 1]);
    begin = end;
  }
  return text;
}

std::string gpu_list(const std::vector<std::string>& gpus) {
  std::string text;
  for (const std::string& gpu : gpus) text += (text.empty() ? "" : ",") + gpu;
  return text;
}

std::int64_t threads_per_rank(const Slots& taken, std::int64_t ranks) {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(taken.cpus.size()) / std::max<std::int64_t>(1, ranks));
}

}  // namespace tercet::job
