#include <algorithm>
#include <memory>
#include <utility>

#include "tercet/eval/evaluate.hpp"

namespace tercet {

Windows Windows::first(std::uint64_t at_most) const {
  Windows fewer = *this;
  if (at_most > 0) fewer.count = std::min(count, at_most);
  return fewer;
}

std::uint64_t batch_count(std::uint64_t windows, std::uint64_t batch) {
  return (windows + batch - 1) / batch;
}

Windows windows_of(std::vector<std::int32_t> ids, std::int64_t length) {
  const auto shared = std::make_shared<const std::vector<std::int32_t>>(std::move(ids));
  const auto size = static_cast<std::size_t>(length);
  return {shared->size() / size, length, [shared, size](std::uint64_t index, std::span<std::int64_t> out) {
            std::copy_n(shared->begin() + static_cast<std::ptrdiff_t>(index * size), size, out.begin());
          }};
}

Windows held_out_windows(const Dataset& dataset, std::int64_t length) {
  return {dataset.held_out_windows(), length,
          [&dataset](std::uint64_t index, std::span<std::int64_t> out) { dataset.held_out_window(index, out); }};
}

}  // namespace tercet
