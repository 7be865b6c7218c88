// Loops over the elements of one row, written so that compilers vectorise them. No fused multiply-add is used, and sums
// are kept in lanes of a fixed number, so a result does not depend on the instruction set that runs it.
#pragma once

#include <cstdint>

namespace tercet::solve {

// y += factor * x
void add_scaled(double* y, const double* x, double factor, std::int64_t count);
double dot(const double* x, const double* y, std::int64_t count);

}  // namespace tercet::solve
