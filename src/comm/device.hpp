// The GPUs of this machine, by way of the CUDA runtime. In a build without CUDA there are none.
#pragma once

#include <string>

namespace tercet::comm {

struct GpuIdentity {
  std::string pci_bus_id;  // "0000:17:00.0"
  std::string name;
};

GpuIdentity identify_gpu(int index);  // throws CommError
// Before the first GPU or NCCL call: the same inputs give the same bits in every run (deterministic kernels, one order
// of sums in NCCL), at some cost in speed.
void make_gpus_deterministic();
void use_gpu(int index);  // makes it the current device of this thread; throws CommError

}  // namespace tercet::comm
