// Tokens per second of one distillation step's passes. Not a test: run it with
//   OMP_NUM_THREADS=1 test_model --gtest_also_run_disabled_tests --gtest_filter='*Speed*'
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "model/autocast_scope.hpp"
#include "support/shared_data.hpp"
#include "tercet/model/decoder.hpp"

namespace tercet {
namespace {

// Of the processor, not of the clock on the wall: machines are shared.
double seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

// Teacher forward, student forward with int8 activations, student backward.
std::array<double, 3> step(const Decoder& teacher, Decoder& student, const at::Tensor& ids, const at::Tensor& grad) {
  const double start = seconds();
  at::Tensor logits;
  double taught = 0;
  {
    const test::AutocastScope autocast(true);
    {
      const at::NoGradGuard no_grad;
      teacher.forward(ids);
    }
    taught = seconds();
    logits = student.forward(ids);
  }
  const double forwarded = seconds();
  logits.backward(grad);
  const double end = seconds();
  for (auto& parameter : student.parameters()) parameter.value.mutable_grad().reset();
  return {taught - start, forwarded - taught, end - forwarded};
}

TEST(DISABLED_Speed, TeacherForwardAndStudentStepOnRefLlama3M) {
  const std::filesystem::path folder = test::shared_data() / "models/ref_llama_3M/hf";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no model at " << folder;
  const Decoder teacher = Decoder::load(read_model_config(folder), open_weights(folder));
  Decoder student = teacher.clone();
  student.set_activation_bits(8);
  for (auto& parameter : student.parameters()) parameter.value.set_requires_grad(true);
  const at::Tensor ids = at::randint(0, 2048, {16, 256}, at::kLong);
  const at::Tensor grad = at::randn({16, 256, 2048}).div(4096).to(at::kBFloat16);
  std::array<double, 3> best{1e9, 0, 0};
  for (int i = 0; i < 6; ++i) {
    const auto parts = step(teacher, student, ids, grad);
    if (parts[0] + parts[1] + parts[2] < best[0] + best[1] + best[2]) best = parts;
  }
  std::printf("tok per cpu-second %.0f teacher/fwd/bwd %.4f %.4f %.4f\n", 4096 / (best[0] + best[1] + best[2]), best[0],
              best[1], best[2]);
}

}  // namespace
}  // namespace tercet
