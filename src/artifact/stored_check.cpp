#include "stored_check.hpp"

#include <algorithm>
#include <cmath>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 46;
constexpr std::int64_t kMaxGroup = 1 << 20;  // as the configuration allows

class Check {
 public:
  Check(const PackedTensor& tensor, const std::string& where)
      : tensor_(tensor), stored_(tensor.stored), where_(where) {}

  void run() const {
    check_shape();
    if (!stored_.codes.defined()) fail("it has no codes");
    switch (stored_.spec.format) {
      case NumberFormat::kTernary:
        return check_ternary();
      case NumberFormat::kInt8:
        return check_int8();
      case NumberFormat::kFloat16:
        return check_float16();
    }
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
    if (stored_.spec.format != NumberFormat::kFloat16 && !matrix) fail("it is quantized, but no matrix");
    if (tensor_.input_first && !matrix) fail("it is input_first, but no matrix");
  }

  void check_tensor(const at::Tensor& tensor, const std::string& what, at::ScalarType type,
                    const std::vector<std::int64_t>& shape) const {
    if (!tensor.defined()) fail("it has no " + what);
    if (tensor.scalar_type() != type) fail("its " + what + " are of type " + std::string(tensor.dtype().name()));
    if (!tensor.is_cpu() || !tensor.is_contiguous()) fail("its " + what + " are not contiguous in memory");
    if (tensor.sizes() != at::IntArrayRef(shape)) fail("its " + what + " have a shape that does not fit its own");
  }

  void check_scales(const std::vector<std::int64_t>& shape) const {
    check_tensor(stored_.scales, "scales", at::kHalf, shape);
    const auto* scales = stored_.scales.const_data_ptr<c10::Half>();
    const bool sound = std::all_of(scales, scales + stored_.scales.numel(), [](c10::Half scale) {
      const auto value = static_cast<float>(scale);
      return std::isfinite(value) && !std::signbit(value);
    });
    if (!sound) fail("a scale is negative, NaN or infinite");
  }

  void check_ternary() const {
    const std::int64_t group = stored_.spec.group_size;
    if (stored_.spec.granularity == Granularity::kGroup && (group < 1 || group > kMaxGroup)) {
      fail("its group_size is not from 1 to " + std::to_string(kMaxGroup));
    }
    const std::int64_t rows = stored_.shape[0], columns = stored_.shape[1];
    check_tensor(stored_.codes, "codes", at::kByte, {rows, (columns + 3) / 4});
    check_scales(scale_shape(rows, columns, stored_.spec));
    const auto* codes = stored_.codes.const_data_ptr<std::uint8_t>();
    // Both bits of a pair set: code 3 stands for no trit.
    const bool sound = std::all_of(codes, codes + stored_.codes.numel(),
                                   [](std::uint8_t four) { return (four & four >> 1 & 0x55) == 0; });
    if (!sound) fail("it holds the code 3, which stands for no trit");
  }

  void check_int8() const {
    check_tensor(stored_.codes, "codes", at::kChar, stored_.shape);
    check_scales({stored_.shape[0], 1});
    const auto* codes = stored_.codes.const_data_ptr<std::int8_t>();
    const bool sound =
        std::none_of(codes, codes + stored_.codes.numel(), [](std::int8_t code) { return code == -128; });
    if (!sound) fail("it holds the code -128, which is out of range");
  }

  void check_float16() const {
    check_tensor(stored_.codes, "values", at::kHalf, stored_.shape);
    if (stored_.scales.defined()) fail("it has scales, but is stored as float16");
    const auto* values = stored_.codes.const_data_ptr<c10::Half>();
    const bool sound = std::all_of(values, values + stored_.codes.numel(),
                                   [](c10::Half value) { return std::isfinite(static_cast<float>(value)); });
    if (!sound) fail("it holds NaN or infinite values");
  }

  const PackedTensor& tensor_;
  const StoredTensor& stored_;
  const std::string& where_;
};

}  // namespace

void check_packed_tensor(const PackedTensor& tensor, const std::string& where) {
  Check(tensor, where).run();
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
