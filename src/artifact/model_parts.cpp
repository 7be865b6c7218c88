#include "model_parts.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "tercet/quant/number_format.hpp"

namespace tercet {

bool is_block_matrix(const PackedTensor& tensor) {
  constexpr std::array<std::string_view, 5> kOthers{"embedding", "position_embedding", "head", "norm", "bias"};
  return std::find(kOthers.begin(), kOthers.end(), tensor.role) == kOthers.end();
}

bool is_packed(const PackedTensor& tensor) {
  return is_block_matrix(tensor) && tensor.stored.spec.format->is_grid();
}

bool is_head(const PackedTensor& tensor) {
  return tensor.role == "head";
}

bool is_trits(const StoredTensor& stored) {
  if (!stored.spec.format->is_grid()) return false;
  const LevelRange range = stored.spec.format->levels(true);
  return range.lowest == -1 && range.highest == 1;
}

std::string module_of(const std::string& tensor) {
  return tensor.substr(0, tensor.rfind('.'));
}

std::string last_part(const std::string& module) {
  return module.substr(module.rfind('.') + 1);
}

std::pair<std::string, std::string> split_block(const std::string& tensor) {
  // A block's tensor has its index as a part of its name, and no other does.
  for (std::size_t dot = tensor.find('.'); dot != std::string::npos; dot = tensor.find('.', dot + 1)) {
    const std::size_t end = tensor.find('.', dot + 1);
    const std::string_view part = std::string_view(tensor).substr(dot + 1, end - dot - 1);
    const bool index = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    if (index && end != std::string::npos) return {tensor.substr(0, end + 1), tensor.substr(end + 1)};
  }
  return {"", tensor};
}

at::Tensor dequantized_half(const PackedTensor& tensor) {
  const at::Tensor values = dequantize(tensor.stored).to(at::kHalf);
  return tensor.input_first ? values.t().contiguous() : values.contiguous();
}

}  // namespace tercet
