#include "stored_check.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>

#include <algorithm>
#include <cmath>

#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 46;
constexpr float kBeyondHalf = 65520.0f;      // rounds to infinity in fp16
constexpr std::int64_t kMaxGroup = 1 << 20;  // as the configuration allows

class Check {
 public:
  Check(const PackedTensor& tensor, const std::string& where, PackedCheck check)
      : tensor_(tensor), stored_(tensor.stored), where_(where), check_(check) {}

  void run() const {
    check_shape();
    if (!stored_.codes.defined()) fail("it has no codes");
    return stored_.spec.format->is_grid() ? check_grid() : check_plain();
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError("tensor '" + tensor_.name + "' of '" + where_ + "' is not valid", reason,
                    "the file is damaged or was not made by this program");
  }

  void check_shape() const {
    if (tensor_.name.empty()) fail("it has no name");
    std::int64_t elements = 1;
    for (const std::int64_t dimension : stored_.shape) {
      if (dimension < 1 || elements > kMaxElements / dimension) fail("its shape is out of range");
      elements *= dimension;
    }
    const bool matrix = stored_.shape.size() == 2;
    if (stored_.spec.format->is_grid() && !matrix) fail("it is quantized, but no matrix");
    if (tensor_.input_first && !matrix) fail("it is input_first, but no matrix");
  }

  void check_tensor(const at::Tensor& tensor, const std::string& what, at::ScalarType type,
                    const std::vector<std::int64_t>& shape) const {
    if (!tensor.defined()) fail("it has no " + what);
    if (tensor.scalar_type() != type) fail("its " + what + " are of type " + std::string(tensor.dtype().name()));
    if (!tensor.is_cpu() || !tensor.is_contiguous()) fail("its " + what + " are not contiguous in memory");
    if (tensor.sizes() != at::IntArrayRef(shape)) fail("its " + what + " have a shape that does not fit its own");
  }

  void check_grid() const {
    const FormatSpec& spec = stored_.spec;
    if (spec.granularity == Granularity::kGroup && (spec.group_size < 1 || spec.group_size > kMaxGroup)) {
      fail("its group_size is not from 1 to " + std::to_string(kMaxGroup));
    }
    if (const std::string reason = spec.format->refusal(spec); !reason.empty()) fail(reason);
    const StoredTensor expected = unfilled(stored_.shape, spec);
    check_tensor(stored_.codes, "codes", expected.codes.scalar_type(), expected.codes.sizes().vec());
    check_tensor(stored_.scales, "scales", at::kHalf, expected.scales.sizes().vec());
    check_scales();
    if (expected.zero_points.defined()) {
      check_tensor(stored_.zero_points, "zero points", expected.zero_points.scalar_type(),
                   expected.zero_points.sizes().vec());
      check_levels(stored_.zero_points.to(at::kShort), "zero point");
    } else if (stored_.zero_points.defined()) {
      fail("it has zero points, but is symmetric");
    }
    if (check_ == PackedCheck::kAll) check_codes();
  }

  // Only the symmetric grids with one level more on one side know negative scales: they mirror the grid.
  void check_scales() const {
    const LevelRange range = stored_.spec.format->levels(stored_.spec.symmetric);
    const bool mirrors = stored_.spec.symmetric && range.lowest != -range.highest;
    const float reach = static_cast<float>(stored_.spec.symmetric ? -range.lowest : range.highest - range.lowest);
    const auto* scales = stored_.scales.const_data_ptr<c10::Half>();
    const bool sound = std::all_of(scales, scales + stored_.scales.numel(), [&](c10::Half scale) {
      const auto value = static_cast<float>(scale);
      return std::isfinite(value) && (mirrors || !std::signbit(value)) && std::fabs(value) * reach < kBeyondHalf;
    });
    if (!sound)
      fail(mirrors ? "a scale is NaN, infinite or too large" : "a scale is negative, NaN, infinite or too large");
  }

  void check_codes() const {
    const CodeLayout layout = stored_.spec.format->layout();
    const at::Tensor levels = unpack_levels(stored_);
    check_levels(levels.to(at::kShort) + layout.zero, "code");
    const StoredTensor again = pack({levels, stored_.scales, {}}, stored_.spec);
    if (!at::equal(again.codes, stored_.codes)) fail("the last byte of a row holds more than its codes");
  }

  // `codes` as they are stored, in int16.
  void check_levels(const at::Tensor& codes, const std::string& what) const {
    const FormatSpec& spec = stored_.spec;
    const LevelRange range = spec.format->levels(spec.symmetric);
    const int zero = spec.format->layout().zero;
    const int least = codes.min().item<int>(), most = codes.max().item<int>();
    const bool low = least < range.lowest + zero;
    if (low || most > range.highest + zero) {
      fail("it holds the " + what + " " + std::to_string(low ? least : most) + ", which stands for nothing in " +
           spec.format->name());
    }
  }

  void check_plain() const {
    check_tensor(stored_.codes, "values", at::kHalf, stored_.shape);
    if (stored_.scales.defined()) fail("it has scales, but is stored as " + stored_.spec.format->name());
    const auto* values = stored_.codes.const_data_ptr<c10::Half>();
    const bool sound = std::all_of(values, values + stored_.codes.numel(),
                                   [](c10::Half value) { return std::isfinite(static_cast<float>(value)); });
    if (!sound) fail("it holds NaN or infinite values");
  }

  const PackedTensor& tensor_;
  const StoredTensor& stored_;
  const std::string& where_;
  PackedCheck check_;
};

}  // namespace

void check_packed_tensor(const PackedTensor& tensor, const std::string& where, PackedCheck check) {
  Check(tensor, where, check).run();
}

std::string exported_head_name(Family family) {
  return family == Family::kGptNeox ? "embed_out.weight" : "lm_head.weight";
}

const PackedTensor* tied_embedding(const PackedModel& model) {
  const auto with_role = [&](const std::string& role) {
    const auto found = std::find_if(model.tensors.begin(), model.tensors.end(),
                                    [&](const PackedTensor& tensor) { return tensor.role == role; });
    return found == model.tensors.end() ? nullptr : &*found;
  };
  return model.config.tied_head && with_role("head") == nullptr ? with_role("embedding") : nullptr;
}

}  // namespace tercet
