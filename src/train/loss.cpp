#include "tercet/train/loss.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <c10/util/BFloat16.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "softmax_rows.hpp"

namespace tercet {
namespace {

// A loss whose gradient w.r.t. the logits was computed with it.
struct KnownGradient : torch::autograd::Function<KnownGradient> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& logits, const at::Tensor& loss,
                            const at::Tensor& gradient) {
    context->save_for_backward({gradient});
    return loss.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& upstream) {
    const at::Tensor gradient = context->get_saved_variables()[0];
    const bool unit = upstream[0].device().is_cpu() && upstream[0].item<float>() == 1.0f;
    return {unit ? gradient : gradient * upstream[0].to(gradient.scalar_type()), at::Tensor(), at::Tensor()};
  }
};

struct Weights {
  double kl = 0, ce = 0;
  at::Tensor positions;  // of the KL, float32 on the host; undefined: 1
};

struct RowWeights {
  double kl = 0, ce = 0;
};

// One row of logits as float32; `scratch` is used when they are stored in bfloat16.
template <typename Stored>
const float* as_float(const Stored* row, std::vector<float>& scratch) {
  if constexpr (std::is_same_v<Stored, float>) {
    return row;
  } else {
    for (std::size_t i = 0; i < scratch.size(); ++i) scratch[i] = static_cast<float>(row[i]);
    return scratch.data();
  }
}

template <typename Stored>
void store_row(const std::vector<float>& from, Stored* to) {
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<Stored>(from[i]);
}

struct RowSums {
  double kl = 0, ce = 0, loss = 0;
};

// Scratch for one thread.
struct RowWorkspace {
  explicit RowWorkspace(std::size_t vocab) : student(vocab), teacher(vocab), p(vocab), q(vocab) {}
  std::vector<float> student, teacher, p, q;
};

template <typename Stored>
RowSums one_row(const Stored* student, const Stored* teacher, std::int64_t next, RowWeights weights, Stored* gradient,
                RowWorkspace& work) {
  const auto vocab = static_cast<std::int64_t>(work.q.size());
  RowSums sums;
  const float* z = as_float(student, work.student);
  const train::SoftmaxRow q = train::exponentials(z, work.q.data(), vocab);
  train::SoftmaxRow p;
  if (teacher != nullptr) {
    const float* zt = as_float(teacher, work.teacher);
    p = train::exponentials(zt, work.p.data(), vocab);
    sums.kl = train::divergence(zt, work.p.data(), p, z, q, vocab);
  }
  const bool predicts = next >= 0;
  if (predicts) sums.ce = std::log(q.sum) + q.max - z[next];
  const double ce = predicts ? weights.ce : 0;
  train::logit_gradient(teacher != nullptr ? work.p.data() : nullptr, p.sum, work.q.data(), q.sum,
                        static_cast<float>(weights.kl), static_cast<float>(ce), work.q.data(), vocab);
  if (ce != 0) work.q[static_cast<std::size_t>(next)] -= static_cast<float>(ce);
  store_row(work.q, gradient);
  sums.loss = weights.kl * sums.kl + ce * sums.ce;
  return sums;
}

template <typename Stored>
RowSums all_rows(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& ids, const Weights& weights,
                 at::Tensor& gradient) {
  const std::int64_t positions = student.size(1), vocab = student.size(2), rows = student.size(0) * positions;
  const Stored* z = student.const_data_ptr<Stored>();
  const Stored* zt = teacher.defined() ? teacher.const_data_ptr<Stored>() : nullptr;
  const float* scaled = weights.positions.defined() ? weights.positions.const_data_ptr<float>() : nullptr;
  const std::int64_t* id = ids.const_data_ptr<std::int64_t>();
  Stored* out = gradient.mutable_data_ptr<Stored>();
  std::vector<RowSums> per_row(static_cast<std::size_t>(rows));  // summed in order: the same for any thread count
  at::parallel_for(0, rows, 16, [&](std::int64_t begin, std::int64_t end) {
    RowWorkspace work(static_cast<std::size_t>(vocab));
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t next = row % positions + 1 < positions ? id[row + 1] : -1;
      const RowWeights mine{weights.kl * (scaled == nullptr ? 1.0 : scaled[row]), weights.ce};
      per_row[static_cast<std::size_t>(row)] =
          one_row(z + row * vocab, zt == nullptr ? nullptr : zt + row * vocab, next, mine, out + row * vocab, work);
    }
  });
  RowSums sums;
  for (const RowSums& row : per_row) {
    sums.kl += row.kl;
    sums.ce += row.ce;
    sums.loss += row.loss;
  }
  return sums;
}

LossResult loss_on_host(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& ids,
                        const Weights& weights) {
  const at::Tensor z = student.detach().contiguous();
  const at::Tensor zt = teacher.defined() ? teacher.to(z.scalar_type()).contiguous() : teacher;
  at::Tensor gradient = at::empty_like(z);
  const RowSums sums = z.scalar_type() == at::kBFloat16 ? all_rows<c10::BFloat16>(z, zt, ids, weights, gradient)
                                                        : all_rows<float>(z, zt, ids, weights, gradient);
  return {KnownGradient::apply(student, at::scalar_tensor(sums.loss, at::kFloat), gradient), sums.kl, sums.ce};
}

LossResult loss_by_expressions(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& ids,
                               const Weights& weights) {
  const std::int64_t positions = student.size(1), vocab = student.size(2);
  const at::Tensor log_q = at::log_softmax(student.to(at::kFloat), -1);
  LossResult result;
  result.loss = at::zeros({}, log_q.options());
  if (teacher.defined()) {
    const at::Tensor log_p = at::log_softmax(teacher.to(at::kFloat), -1);
    const at::Tensor kl = (log_p.exp() * (log_p - log_q)).sum(-1);
    result.kl_sum = kl.sum().item<double>();
    const at::Tensor scaled = weights.positions.defined() ? kl * weights.positions.to(kl.device()) : kl;
    result.loss = result.loss + weights.kl * scaled.sum();
  }
  const at::Tensor ce = at::nll_loss(log_q.slice(1, 0, positions - 1).reshape({-1, vocab}),
                                     ids.slice(1, 1).reshape({-1}), {}, at::Reduction::Sum);
  result.cross_entropy_sum = ce.item<double>();
  if (weights.ce != 0) result.loss = result.loss + weights.ce * ce;
  return result;
}

}  // namespace

LossResult distillation_loss(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& ids,
                             double kl_weight, double ce_weight, const at::Tensor& position_weights) {
  const bool host =
      student.device().is_cpu() && (student.scalar_type() == at::kFloat || student.scalar_type() == at::kBFloat16);
  const Weights weights{teacher.defined() ? kl_weight : 0, ce_weight, position_weights};
  return host ? loss_on_host(student, teacher, ids.contiguous(), weights)
              : loss_by_expressions(student, teacher, ids, weights);
}

at::Tensor token_scaled_weights(const at::Tensor& teacher, const at::Tensor& ids) {
  constexpr double kTemperature = 10;  // the paper's
  const at::NoGradGuard no_grad;
  const std::int64_t batch = ids.size(0), predicted = ids.size(1) - 1, vocab = teacher.size(2);
  const at::Tensor logits = teacher.slice(1, 0, predicted).reshape({-1, vocab}).to(at::kFloat);
  const at::Tensor surprise =
      at::nll_loss(at::log_softmax(logits, -1), ids.slice(1, 1).reshape({-1}), {}, at::Reduction::None);
  const at::Tensor shares = at::softmax(surprise.view({batch, predicted}) / kTemperature, 1);
  at::Tensor weights = at::ones({batch, ids.size(1)}, at::kFloat);
  weights.slice(1, 0, predicted).copy_(shares * static_cast<double>(predicted));
  return weights;
}

}  // namespace tercet
