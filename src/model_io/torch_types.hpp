// PyTorch's storage classes and the element types behind them.
#pragma once

#include <c10/core/ScalarType.h>

#include <array>
#include <string_view>
#include <utility>

namespace tercet {

inline constexpr std::array<std::pair<std::string_view, c10::ScalarType>, 10> kTorchStorages{
    {{"FloatStorage", c10::ScalarType::Float},
     {"HalfStorage", c10::ScalarType::Half},
     {"BFloat16Storage", c10::ScalarType::BFloat16},
     {"DoubleStorage", c10::ScalarType::Double},
     {"ByteStorage", c10::ScalarType::Byte},
     {"CharStorage", c10::ScalarType::Char},
     {"ShortStorage", c10::ScalarType::Short},
     {"IntStorage", c10::ScalarType::Int},
     {"LongStorage", c10::ScalarType::Long},
     {"BoolStorage", c10::ScalarType::Bool}}};

}  // namespace tercet
