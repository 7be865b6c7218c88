#include <atomic>

#include "kernels/kernels.hpp"
#include "tercet/base/error.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {
namespace {

bool processor_has(InstructionSet set) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");  // with them comes f16c
  if (set == InstructionSet::kAvx2) return avx2;
  if (set == InstructionSet::kAvx512) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
  }
#endif
  return set == InstructionSet::kPortable;
}

std::atomic<InstructionSet>& chosen() {
  static std::atomic<InstructionSet> set{best_instruction_set()};
  return set;
}

}  // namespace

InstructionSet best_instruction_set() {
  static const InstructionSet best = processor_has(InstructionSet::kAvx512) ? InstructionSet::kAvx512
                                     : processor_has(InstructionSet::kAvx2) ? InstructionSet::kAvx2
                                                                            : InstructionSet::kPortable;
  return best;
}

std::string to_string(InstructionSet set) {
  return set == InstructionSet::kAvx512 ? "avx512" : set == InstructionSet::kAvx2 ? "avx2" : "portable";
}

InstructionSet instruction_set(const std::string& name) {
  if (name == "auto") return best_instruction_set();
  for (const auto set : {InstructionSet::kPortable, InstructionSet::kAvx2, InstructionSet::kAvx512}) {
    if (to_string(set) != name) continue;
    if (processor_has(set)) return set;
    throw ConfigError("this processor has no " + name, "the best that it has is " + to_string(best_instruction_set()),
                      "write auto");
  }
  throw ConfigError("there is no instruction set '" + name + "'", "", "it is auto, portable, avx2 or avx512");
}

void use_instruction_set(const std::string& name) {
  chosen() = instruction_set(name);
}

InstructionSet used_instruction_set() {
  return chosen();
}

}  // namespace tercet
