// The number type a forward pass computes in, and the choice of loop for a pair of storage types.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include "tercet/base/error.hpp"

namespace tercet {

// bfloat16 (or half) when the caller enabled autocast for the device, else the type of `like`.
at::ScalarType compute_type(const at::Tensor& like);

// Own CPU loops exist for these; everything else takes the ATen expression.
inline bool has_cpu_loop(const at::Tensor& x) {
  return x.device().is_cpu() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kDouble);
}

// Calls f(A{}, B{}) with the C++ types of the pair (wide, narrow).
template <typename F>
void dispatch_pair(at::ScalarType wide, at::ScalarType narrow, F f) {
  if (wide == at::kFloat && narrow == at::kFloat) return f(float{}, float{});
  if (wide == at::kFloat && narrow == at::kBFloat16) return f(float{}, c10::BFloat16{});
  if (wide == at::kBFloat16 && narrow == at::kBFloat16) return f(c10::BFloat16{}, c10::BFloat16{});
  if (wide == at::kDouble && narrow == at::kDouble) return f(double{}, double{});
  throw NumericError("no CPU loop for the number types " + std::string(c10::toString(wide)) + " and " +
                     c10::toString(narrow));
}

}  // namespace tercet
