// The formats that there are; the table in format.cpp lists them.
#pragma once

#include "tercet/quant/number_format.hpp"

namespace tercet::quant {

const NumberFormat* ternary_format();          // four codes a byte
const NumberFormat* ternary5_format();         // five trits a byte
const NumberFormat* integer_format(int bits);  // 2, 3, 4, 6, 8
const NumberFormat* float16_format();

}  // namespace tercet::quant
