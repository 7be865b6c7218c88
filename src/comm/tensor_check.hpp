// What every communicator demands of its arguments, and the words in which it refuses them.
#pragma once

#include <string>

#include "tercet/comm/communicator.hpp"

namespace tercet::comm {

std::string place(const Communicator& comm);     // "rank 1 of 4"
std::string describe(const at::Tensor& tensor);  // "a float32 tensor of shape [3, 4] on cpu"
void check_root(const std::string& operation, int root, const Communicator& comm);
void check_contiguous(const std::string& operation, const at::Tensor& tensor, const Communicator& comm);
void check_host(const std::string& operation, const at::Tensor& tensor, const Communicator& comm);
// Contiguous, on the host, and of a type that MPI can add up.
void check_host_tensor(const std::string& operation, const at::Tensor& tensor, const Communicator& comm);

}  // namespace tercet::comm
