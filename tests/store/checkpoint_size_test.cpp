#include "tercet/store/checkpoint_size.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include "support/scratch_folder.hpp"

namespace tercet {
namespace {

StateTensors state(at::Device device) {
  StateTensors tensors;
  for (int i = 0; i < 40; ++i) {
    const std::vector<std::int64_t> shape{i + 1, 37};
    tensors.emplace_back("master.model.layers." + std::to_string(i) + ".weight",
                         at::ones(shape, at::TensorOptions().dtype(at::kFloat).device(device)));
    tensors.emplace_back("adamw.step.model.layers." + std::to_string(i) + ".weight",
                         at::ones({}, at::TensorOptions().dtype(at::kFloat).device(device)));
  }
  tensors.emplace_back("big", at::ones({300, 1000}, at::TensorOptions().dtype(at::kFloat).device(device)));
  return tensors;
}

TEST(CheckpointSize, IsThatOfTheFilesWithinOnePercent) {
  const auto comm = make_self_communicator();
  const test::ScratchFolder scratch;
  save_checkpoint(*comm, {scratch.path(), 1}, 7, state(at::kCPU), {});
  const CheckpointSize size = checkpoint_size(state(at::kMeta), 1);
  const auto folder = scratch.path() / "step-00000007";
  const auto state_bytes = static_cast<double>(std::filesystem::file_size(folder / "state.h5"));
  const auto manifest_bytes = static_cast<double>(std::filesystem::file_size(folder / "manifest.json"));
  EXPECT_NEAR(static_cast<double>(size.state_bytes), state_bytes, 0.01 * state_bytes);
  EXPECT_NEAR(static_cast<double>(size.manifest_bytes), manifest_bytes, 0.03 * manifest_bytes);
}

TEST(CheckpointSize, EveryElementIsWrittenOnceByAnyNumberOfRanks) {
  const StateTensors layout = state(at::kMeta);
  std::uint64_t all = 0;
  for (const auto& [name, tensor] : layout) all += tensor.nbytes();
  for (const int ranks : {1, 2, 3, 8, 1024}) {
    const CheckpointSize size = checkpoint_size(layout, ranks);
    EXPECT_TRUE(size.exact) << ranks;
    EXPECT_LE(size.least_of_rank * static_cast<std::uint64_t>(ranks), all);
    EXPECT_GE(size.most_of_rank * static_cast<std::uint64_t>(ranks), all);
  }
}

}  // namespace
}  // namespace tercet
