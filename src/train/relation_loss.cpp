#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>

#include <cmath>

#include "tercet/train/loss.hpp"

namespace tercet {
namespace {

// log R, [batch, heads, positions, positions].
at::Tensor log_relations(const at::Tensor& heads) {
  const at::Tensor rows = heads.to(at::kFloat) * std::pow(static_cast<double>(heads.size(-1)), -0.25);
  return at::log_softmax(at::matmul(rows, rows.transpose(-1, -2)), -1);
}

at::Tensor divergence(const at::Tensor& student, const at::Tensor& teacher) {
  const at::Tensor log_q = log_relations(student), log_p = log_relations(teacher.detach());
  return (log_p.exp() * (log_p - log_q)).sum() / static_cast<double>(student.size(1));
}

}  // namespace

RelationLoss relation_loss(const AttentionHeads& student, const AttentionHeads& teacher, double weight) {
  const at::Tensor sum = (divergence(student.query, teacher.query) + divergence(student.key, teacher.key) +
                          divergence(student.value, teacher.value)) /
                         3.0;
  return {sum * weight, sum.item<double>()};
}

}  // namespace tercet
