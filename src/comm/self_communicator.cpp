#include <cstdlib>

#include "comm/tensor_check.hpp"
#include "tercet/comm/communicator.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace {

class DoneWork : public Work {
 public:
  void wait() override {}
};

class SelfCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string backend() const override { return "self"; }

  void all_reduce(std::span<double>, Reduce) override {}
  void all_reduce(std::span<std::int64_t>, Reduce) override {}
  void broadcast(std::span<std::byte>, int root) override { comm::check_root("broadcast", root, *this); }
  std::vector<std::string> all_gather(std::string_view mine) override { return {std::string(mine)}; }
  void barrier() override {}

  // The same tensors are refused as with several ranks, so that a mistake shows on one rank already.
  void all_reduce(at::Tensor tensor, Reduce) override { comm::check_contiguous("all_reduce", tensor, *this); }
  void broadcast(at::Tensor tensor, int root) override {
    comm::check_root("broadcast", root, *this);
    comm::check_contiguous("broadcast", tensor, *this);
  }
  std::unique_ptr<Work> start_all_reduce(at::Tensor tensor, Reduce) override {
    comm::check_contiguous("start_all_reduce", tensor, *this);
    return std::make_unique<DoneWork>();
  }

  [[noreturn]] void abort(int exit_code) override {
    log::close();
    std::_Exit(exit_code);
  }
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace tercet
