#include "trit_counts.hpp"

#include <ATen/core/Tensor.h>

#include "tercet/base/heartbeat.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet::job {

std::vector<TritCounts> trit_counts(const PackedModel& model) {
  std::vector<TritCounts> counts;
  for (const PackedTensor& tensor : model.tensors) {
    if (!tensor.stored.spec.format->counts_zeros()) continue;
    heartbeat::beat();
    const at::Tensor levels = unpack_levels(tensor.stored);
    const auto count = [&](int level) { return static_cast<double>(levels.eq(level).sum().item<std::int64_t>()); };
    counts.push_back({tensor.name, count(-1), count(0), count(1)});
  }
  return counts;
}

}  // namespace tercet::job
