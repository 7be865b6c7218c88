#include "comm/device.hpp"

#include "tercet/base/error.hpp"
#include "tercet/comm/runtime.hpp"
#include "tercet/log/log.hpp"

#if TERCET_HAVE_CUDA
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#endif

namespace tercet {

#if TERCET_HAVE_CUDA

namespace {

void check_cuda(cudaError_t code, const std::string& what) {
  if (code != cudaSuccess) throw CommError(what + " failed", cudaGetErrorString(code));
}

// libtorch_cuda registers its kernels when it is loaded, so nobody needs to link it, and the same program starts on
// machines without a driver. It lies beside the libtorch_cpu that this process runs with.
bool load_torch_cuda() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&at::set_num_threads), &info) == 0) return false;
  const auto library = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return true;
  const char* reason = dlerror();
  log::warn("a GPU is here but LibTorch's CUDA library cannot be loaded (" +
            std::string(reason != nullptr ? reason : "no reason given") + "); computing on the host processor");
  return false;
}

int count_usable_gpus() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return 0;  // no driver, or no device
  return count > 0 && load_torch_cuda() ? count : 0;
}

}  // namespace

int cuda_device_count() {
  static const int count = count_usable_gpus();
  return count;
}

namespace comm {

GpuIdentity identify_gpu(int index) {
  char bus_id[32] = "";
  check_cuda(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, index),
             "reading the PCI bus id of GPU " + std::to_string(index));
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, index), "reading the name of GPU " + std::to_string(index));
  return {bus_id, properties.name};
}

void make_gpus_deterministic() {
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 1);
  setenv("NCCL_ALGO", "Ring", 1);
  setenv("NCCL_PROTO", "Simple", 1);
  setenv("NCCL_NVLS_ENABLE", "0", 1);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  at::globalContext().setDeterministicCuDNN(true);
}

void use_gpu(int index) {
  check_cuda(cudaSetDevice(index), "choosing GPU " + std::to_string(index));
}

}  // namespace comm

#else

int cuda_device_count() {
  return 0;
}

namespace comm {
GpuIdentity identify_gpu(int index) {
  throw CommError("there is no GPU " + std::to_string(index), "this build has no CUDA");
}
void make_gpus_deterministic() {}
void use_gpu(int index) {
  identify_gpu(index);
}
}  // namespace comm

#endif

}  // namespace tercet
