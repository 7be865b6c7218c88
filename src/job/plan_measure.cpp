#include "plan_measure.hpp"

#include <ATen/ops/ones.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "tercet/base/clock.hpp"
#include "tercet/base/environment.hpp"
#include "tercet/train/student.hpp"

namespace tercet::job {
namespace {

namespace fs = std::filesystem;

constexpr double kLongStep = 10.0;  // seconds; longer steps are measured once
constexpr std::size_t kCopyBytes = std::size_t{64} << 20;

double seconds_of(const std::function<void()>& action) {
  const auto begin = Clock::now();
  action();
  return seconds_since(begin);
}

double median_seconds(int times, const std::function<void()>& action) {
  std::vector<double> seconds;
  for (int i = 0; i < times; ++i) seconds.push_back(seconds_of(action));
  std::nth_element(seconds.begin(), seconds.begin() + times / 2, seconds.end());
  return seconds[static_cast<std::size_t>(times / 2)];
}

// The fastest of the steps after the first, which pays for warming up: other work on the machine only makes it longer.
double step_seconds(const PlannedJob& job, std::int64_t sequences, int steps) {
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  Decoder copy = job.model.decoder.clone();
  copy.set_activation_bits(static_cast<int>(job.config.quantization.activation_bits));
  Student student(std::move(copy), job.storage);
  TrainerOptions options = job.training;
  options.stage = "measure a step";
  options.sequences_per_step = sequences;
  options.schedule.total_steps = steps;
  options.checkpoint_every = 0;
  const auto vocabulary = static_cast<std::uint64_t>(job.model.decoder.config().vocab_size);
  TrainerCallbacks callbacks;
  callbacks.sample = [vocabulary](std::uint64_t index, std::span<std::int64_t> ids) {
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>((index * 31 + i * 7) % vocabulary);
  };
  std::vector<double> seconds;
  callbacks.on_step = [&](const StepRecord& step) {
    seconds.push_back(static_cast<double>(sequences * options.sequence_length) / step.tokens_per_second);
  };
  run_training(*alone, student, &job.model.decoder, options, callbacks);
  return *std::min_element(seconds.begin() + 1, seconds.end());
}

double slowest(Communicator& comm, const PlannedJob& job, std::int64_t sequences, int steps) {
  double seconds = 0;
  on_every_rank(comm, [&] { seconds = step_seconds(job, sequences, steps); });
  return all_reduce_value(comm, seconds, Reduce::kMax);
}

double write_seconds(const fs::path& file) {
  const std::vector<char> block(std::size_t{1} << 20, 'x');
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) return 0;
  bool written = true;
  const double seconds = seconds_of([&] {
    for (std::size_t done = 0; written && done < kCopyBytes; done += block.size())
      written = ::write(descriptor, block.data(), block.size()) == static_cast<ssize_t>(block.size());
    written = written && ::fsync(descriptor) == 0;
  });
  ::close(descriptor);
  ::unlink(file.c_str());
  return written ? seconds : 0;
}

}  // namespace

std::string measure_compute(Communicator& comm, const PlannedJob& job, CostInputs& inputs) {
  const std::int64_t batch = job.training.micro_batch;
  const double whole = slowest(comm, job, batch, 2);
  if (whole > kLongStep) {
    fit_compute(inputs, whole / static_cast<double>(batch), whole, 2 * whole);
    return "measured with one micro-batch, in proportion to sequences";
  }
  const int steps = whole > 1.0 ? 3 : 6;
  const double one = slowest(comm, job, 1, steps);
  const double again = slowest(comm, job, batch, steps);
  const double twice = slowest(comm, job, 2 * batch, steps);
  fit_compute(inputs, one, std::min(whole, again), twice);
  return "measured with one sequence, one and two micro-batches";
}

Link measure_link(Communicator& comm, const std::string& device, std::uint64_t bytes) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const at::Tensor little = at::ones({1}, options);
  const at::Tensor much = at::ones({static_cast<std::int64_t>(std::max<std::uint64_t>(bytes, 1 << 16) / 4)}, options);
  const auto reduce = [&comm](const at::Tensor& tensor) {
    comm.start_all_reduce(tensor, Reduce::kMax)->wait();
    if (!tensor.is_cpu()) tensor.sum().item<float>();  // waits for the device
  };
  for (int i = 0; i < 5; ++i) reduce(little);
  const double small = all_reduce_value(comm, median_seconds(50, [&] { reduce(little); }), Reduce::kMax);
  reduce(much);
  const double large = all_reduce_value(comm, median_seconds(9, [&] { reduce(much); }), Reduce::kMax);
  return link_of(comm.size(), small, large, static_cast<double>(much.nbytes()));
}

double measure_disk(Communicator& comm, const fs::path& folder) {
  const std::string answer = on_root(comm, [&] {
    fs::path existing = fs::absolute(folder);
    while (!fs::exists(existing) && existing != existing.parent_path()) existing = existing.parent_path();
    return std::to_string(write_seconds(existing / (".tercet-plan-" + std::to_string(::getpid()))));
  });
  const double seconds = std::stod(answer);
  return seconds > 0 ? static_cast<double>(kCopyBytes) / seconds : 0;
}

double measure_copy() {
  const at::Tensor from = at::ones({static_cast<std::int64_t>(kCopyBytes / 4)}, at::kFloat);
  at::Tensor to = from.clone();
  return static_cast<double>(kCopyBytes) / median_seconds(3, [&] { to.copy_(from); });
}

int ranks_on_a_node(Communicator& comm) {
  std::map<std::string, int> ranks;
  for (const std::string& host : comm.all_gather(host_name())) ++ranks[host];
  return std::max_element(ranks.begin(), ranks.end(), [](const auto& a, const auto& b) { return a.second < b.second; })
      ->second;
}

}  // namespace tercet::job
