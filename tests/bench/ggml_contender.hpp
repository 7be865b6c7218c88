// llama.cpp's product with a matrix of one of its types, as a contender of kernels_bench: ggml, the library it computes
// with, on a pool of threads that lives as long as its matrices.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tercet::bench {

class GgmlMatrix {
 public:
  // Random weights of `type` ("tq2_0", "q4_0", "q8_0"), made for products with so many tokens.
  GgmlMatrix(const std::string& type, std::int64_t rows, std::int64_t columns, std::int64_t tokens, int threads);
  ~GgmlMatrix();
  GgmlMatrix(GgmlMatrix&&) noexcept;
  GgmlMatrix& operator=(GgmlMatrix&&) noexcept;

  void multiply() const;  // fp32 inputs, quantized inside, fp32 outputs
  std::uint64_t bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tercet::bench
