#include "tercet/comm/runtime.hpp"

#include <ATen/Parallel.h>

#include <cstdlib>
#include <exception>
#include <vector>

#include "comm/device.hpp"
#include "comm/last_resort.hpp"
#include "comm/launch.hpp"
#include "comm/mpi_communicator.hpp"
#include "comm/nccl_communicator.hpp"
#include "comm/placement.hpp"
#include "tercet/base/environment.hpp"
#include "tercet/base/error.hpp"
#include "tercet/comm/mpi_handle.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace {

// Seconds, for MPI_Finalize. All is written by then, and a batch system that wants the node back waits for 20 or 30.
constexpr double kEndPatience = 10;

// Begins and ends MPI, when this process is a rank of an MPI job.
class MpiSession {
 public:
  MpiSession(int* argc, char*** argv)
      : active_(comm::launched_by_mpi([](const char* name) { return std::getenv(name); })) {
    if (!active_) return;
    comm::last_resort::within(kDefaultHangTimeout, exit_code_, "MPI_Init did not end; ending this process");
    int provided = MPI_THREAD_SINGLE;
    comm::check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread", MPI_COMM_NULL);
    if (provided < MPI_THREAD_MULTIPLE) {
      throw CommError("this MPI library cannot be used", "it offers no MPI_THREAD_MULTIPLE",
                      "use Open MPI 4 as packaged by Debian and Ubuntu, or a build with thread support");
    }
  }
  // A rank that leaves by an exception cannot wait in MPI_Finalize for ranks that know nothing of it: it ends them.
  ~MpiSession() {
    if (active_ && comm::mpi_is_usable()) {
      if (std::uncaught_exceptions() > exceptions_at_start_)
        MPI_Abort(MPI_COMM_WORLD, static_cast<int>(ExitCode::kInternal));
      comm::last_resort::within(kEndPatience, exit_code_, "MPI_Finalize did not end; ending this process");
      MPI_Finalize();
    }
    comm::last_resort::within(kEndPatience, exit_code_, "the process did not end after its work; ending it");
  }
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  bool active() const { return active_; }
  void ends_with(int exit_code) { exit_code_ = exit_code; }

 private:
  bool active_;
  int exit_code_ = static_cast<int>(ExitCode::kInternal);
  int exceptions_at_start_ = std::uncaught_exceptions();
};

std::unique_ptr<Communicator> host_communicator(const MpiSession& mpi) {
  if (!mpi.active()) return make_self_communicator();
  return std::make_unique<comm::MpiCommunicator>(MPI_COMM_WORLD);
}

std::vector<comm::Seat> gather(Communicator& control, const comm::Seat& mine) {
  std::vector<comm::Seat> seats;
  for (const std::string& wire : control.all_gather(comm::encode(mine))) seats.push_back(comm::decode_seat(wire));
  return seats;
}

}  // namespace

struct Runtime::State {
  State(int* argc, char*** argv) : mpi(argc, argv), control(host_communicator(mpi)), watchdog(*control) {
    seat.rank = control->rank();
    seat.host = host_name();
    seat.cores = comm::affinity_text(seat.core_count);
    if (mpi.active()) {
      const comm::OwnedComm node = comm::OwnedComm::of_this_node(MPI_COMM_WORLD);
      seat.local_rank = node.rank();
      seat.local_size = node.size();
    }
  }

  void take_gpu(bool allow_shared) {
    on_every_rank(*control, [&] {
      seat.device_index = comm::choose_gpu(seat, allow_shared);
      const comm::GpuIdentity gpu = comm::identify_gpu(seat.device_index);
      seat.gpu_id = gpu.pci_bus_id;
      seat.gpu_name = gpu.name;
    });
    if (!allow_shared) comm::refuse_shared_gpus(gather(*control, seat));
    on_every_rank(*control, [&] { comm::use_gpu(seat.device_index); });
  }

  MpiSession mpi;
  std::unique_ptr<Communicator> control;
  Watchdog watchdog;
  comm::Seat seat;
  std::string device = "cpu";
};

Runtime::Runtime(int* argc, char*** argv) : state_(std::make_unique<State>(argc, argv)) {}
Runtime::~Runtime() = default;

std::unique_ptr<Communicator> Runtime::connect(const CommOptions& options) {
  Communicator& control = *state_->control;
  comm::Seat& seat = state_->seat;
  seat.device_index = -1;
  seat.visible_gpus = options.device == "cpu" ? 0 : cuda_device_count();
  const std::vector<comm::Seat> seats = gather(control, seat);
  const bool gpus = comm::use_gpus(seats, options.device);
  const std::string backend = comm::choose_backend(options.backend, control.size(), gpus, comm::kHaveNccl);
  if (gpus && options.deterministic) comm::make_gpus_deterministic();
  if (gpus) state_->take_gpu(options.allow_shared_gpu);
  state_->device = seat.device();

  seat.threads = comm::threads_for(seat, seats, options.threads_per_rank, std::getenv("OMP_NUM_THREADS"));
  at::set_num_threads(seat.threads);

  if (backend == "self") return make_self_communicator();
  auto host = std::make_unique<comm::MpiCommunicator>(MPI_COMM_WORLD);
  if (backend == "mpi") return host;
  return comm::make_nccl_communicator(std::move(host),
                                      {seat.device_index, options.timeout_s, options.allow_shared_gpu});
}

Communicator& Runtime::control() {
  return *state_->control;
}
Watchdog& Runtime::watchdog() {
  return state_->watchdog;
}
void Runtime::ends_with(int exit_code) {
  state_->mpi.ends_with(exit_code);
}
const std::string& Runtime::device() const {
  return state_->device;
}
std::string Runtime::placement_table() {
  return comm::table_of(gather(*state_->control, state_->seat));
}

MPI_Comm mpi_handle(Communicator& comm) {
  if (const auto* mpi = dynamic_cast<comm::MpiCommunicator*>(&comm)) return mpi->handle();
  return comm::nccl_host_handle(comm);
}

std::unique_ptr<Communicator> duplicate(Communicator& comm) {
  const MPI_Comm below = mpi_handle(comm);
  if (below == MPI_COMM_NULL) return make_self_communicator();
  return std::make_unique<comm::MpiCommunicator>(below);
}

}  // namespace tercet
