// The GPUs of this machine, by way of the CUDA runtime. In a build without CUDA there are none.
#pragma once

#include <string>

namespace tercet::comm {

struct GpuIdentity {
  std::string pci_bus_id;  // "0000:17:00.0"
  std::string name;
};

GpuIdentity identify_gpu(int index);  // throws CommError
void use_gpu(int index);              // makes it the current device of this thread; throws CommError

}  // namespace tercet::comm
