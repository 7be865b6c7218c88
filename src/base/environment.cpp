#include "tercet/base/environment.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "tercet/base/utf8.hpp"

namespace tercet {
namespace {

using Care = Influence::Care;

struct Rule {
  std::string_view name;  // ends in "*": a prefix
  Care care;
};

// The first rule that fits counts.
constexpr std::array kRules = {
    // Lower precision of what is asked for in fp32: TF32 on a GPU, bf16 in oneDNN.
    Rule{"NVIDIA_TF32_OVERRIDE", Care::kRemoved},
    Rule{"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", Care::kRemoved},
    Rule{"ONEDNN_DEFAULT_FPMATH_MODE", Care::kRemoved},
    Rule{"DNNL_DEFAULT_FPMATH_MODE", Care::kRemoved},
    // Set by every launcher: the number of threads decides how sums are split, the devices which card computes.
    Rule{"OMP_NUM_THREADS", Care::kRecorded},
    Rule{"OMP_PROC_BIND", Care::kRecorded},
    Rule{"OMP_PLACES", Care::kRecorded},
    Rule{"GOMP_CPU_AFFINITY", Care::kRecorded},
    Rule{"MKL_NUM_THREADS", Care::kRecorded},
    Rule{"CUDA_*", Care::kRecorded},
    Rule{"NVIDIA_*", Care::kRecorded},
    Rule{"LD_LIBRARY_PATH", Care::kRecorded},
    // Set by images and site settings without an effect on numbers.
    Rule{"NCCL_VERSION", Care::kRecorded},
    Rule{"NCCL_DEBUG*", Care::kRecorded},
    Rule{"NCCL_SOCKET_*", Care::kRecorded},
    Rule{"NCCL_IB_*", Care::kRecorded},
    Rule{"TORCH_HOME", Care::kRecorded},
    Rule{"TORCH_CUDA_ARCH_LIST", Care::kRecorded},
    Rule{"PYTORCH_VERSION", Care::kRecorded},
    Rule{"OPENBLAS_*", Care::kRecorded},  // of numpy and others: LibTorch multiplies by MKL
    Rule{"HDF5_USE_FILE_LOCKING", Care::kRecorded},
    Rule{"HDF5_PLUGIN_*", Care::kRecorded},  // no plugin is loaded (src/store/hdf5.cpp)
    Rule{"OMPI_MCA_coll*", Care::kWarned},   // which algorithm adds up what the ranks hold
    Rule{"OMPI_MCA_op*", Care::kWarned},
    // Other kernels, another order of sums, another code path.
    Rule{"OMP_*", Care::kWarned},
    Rule{"GOMP_*", Care::kWarned},
    Rule{"KMP_*", Care::kWarned},
    Rule{"MKL_*", Care::kWarned},
    Rule{"ATEN_CPU_CAPABILITY", Care::kWarned},
    Rule{"ONEDNN_*", Care::kWarned},
    Rule{"DNNL_*", Care::kWarned},
    Rule{"TORCH_*", Care::kWarned},
    Rule{"PYTORCH_*", Care::kWarned},
    Rule{"CUBLAS*", Care::kWarned},
    Rule{"CUDNN_*", Care::kWarned},
    Rule{"NCCL_*", Care::kWarned},
    Rule{"HDF5_DRIVER*", Care::kWarned},
    Rule{"HDF5_VOL_*", Care::kWarned},
    Rule{"HDF5_DISABLE_VERSION_CHECK", Care::kWarned},
    Rule{"GLIBC_TUNABLES", Care::kWarned},  // can choose other variants of exp and log
    Rule{"LD_PRELOAD", Care::kWarned},
};

constexpr std::size_t kLongestValue = 500;  // of a value that is shown

bool fits(const Rule& rule, std::string_view name) {
  if (!rule.name.ends_with('*')) return name == rule.name;
  return name.starts_with(rule.name.substr(0, rule.name.size() - 1));
}

std::vector<Influence>& settled() {
  static std::vector<Influence> influences;
  return influences;
}

std::string list_of(Care care) {
  std::string list;
  for (const Influence& influence : settled()) {
    if (influence.care != care) continue;
    list += (list.empty() ? "" : ", ") + influence.name + "=" + influence.value;
  }
  return list;
}

}  // namespace

std::vector<Influence> influences_in(const char* const* environment) {
  std::vector<Influence> found;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    const std::string_view name = entry.substr(0, entry.find('='));
    const auto rule = std::find_if(kRules.begin(), kRules.end(), [&](const Rule& known) { return fits(known, name); });
    if (rule == kRules.end() || name.size() == entry.size()) continue;
    found.push_back(
        {printable(name, kLongestValue), printable(entry.substr(name.size() + 1), kLongestValue), rule->care});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return found;
}

void settle_environment() {
  settled() = influences_in(environ);
  for (const Influence& influence : settled()) {
    if (influence.care == Care::kRemoved) ::unsetenv(influence.name.c_str());
  }
}

nlohmann::json environment_record() {
  auto record = nlohmann::json::object();
  for (const Influence& influence : settled()) record[influence.name] = influence.value;
  return record;
}

std::string environment_warning() {
  const std::string removed = list_of(Care::kRemoved), kept = list_of(Care::kWarned);
  std::string text;
  if (!removed.empty()) text = "not obeyed, since it would lower the precision of fp32: " + removed;
  if (!kept.empty()) {
    text += std::string(text.empty() ? "" : "; ") + "set in the environment and able to change results: " + kept +
            " (recorded with the run)";
  }
  return text;
}

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace tercet
