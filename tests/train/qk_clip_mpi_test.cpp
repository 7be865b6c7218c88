#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "support/mpi_main.hpp"
#include "train/qk_clip.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

Student loud_student() {
  Student student = test::plain_student(3);
  for (TrainedParameter& parameter : student.parameters()) {
    if (parameter.role == Role::kQuery || parameter.role == Role::kKey) parameter.master.detach().mul_(25);
  }
  return student;
}

void pass(Student& student, int rank) {
  student.decoder().forward(test::counting_batch(static_cast<std::uint64_t>(rank), 1, 12));
}

TEST(QkClipOnRanks, ClipsByTheLargestLogitOfAllRanks) {
  Communicator& comm = test::world();
  Student alone = loud_student(), together = loud_student();
  train::QkClip clip_alone(alone, 1.5), clip_together(together, 1.5);
  clip_alone.watch();
  for (int rank = 0; rank < comm.size(); ++rank) pass(alone, rank);
  clip_together.watch();
  pass(together, comm.rank());
  const double largest = clip_alone.apply(*make_self_communicator(), true);
  EXPECT_GT(largest, 1.5);
  EXPECT_EQ(clip_together.apply(comm, true), largest);
  for (std::size_t i = 0; i < alone.parameters().size(); ++i) {
    EXPECT_TRUE(at::equal(together.parameters()[i].master.detach(), alone.parameters()[i].master.detach()))
        << alone.parameters()[i].name;
  }
}

}  // namespace
}  // namespace tercet
