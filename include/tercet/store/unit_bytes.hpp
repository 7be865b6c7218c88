// The outcome of a unit of work as bytes: numbers and tensors one after another, read back in the same order.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tercet/base/error.hpp"

namespace tercet {

class ByteWriter {
 public:
  template <typename Number>
  requires std::is_arithmetic_v<Number>
  void add(Number value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void add(const at::Tensor& tensor) {  // values only: the reader knows shape and dtype
    const at::Tensor host = tensor.to(at::kCPU).contiguous();
    bytes_.append(static_cast<const char*>(host.const_data_ptr()), host.nbytes());
  }
  void add(std::string_view text) { bytes_.append(text); }  // the reader knows its size
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Throws StoreError when the bytes are not what is asked for.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <typename Number>
  Number number() {
    Number value{};
    copy_to(&value, sizeof value);
    return value;
  }
  at::Tensor tensor(at::IntArrayRef shape, at::ScalarType dtype) {
    at::Tensor value = at::empty(shape, at::TensorOptions(dtype));
    copy_to(value.mutable_data_ptr(), value.nbytes());
    return value;
  }
  std::string text(std::uint64_t size) {
    if (size > rest_.size()) throw StoreError("a unit of the work log is shorter than it should be");
    std::string value(static_cast<std::size_t>(size), '\0');
    copy_to(value.data(), value.size());
    return value;
  }
  bool empty() const { return rest_.empty(); }
  void finish() const {
    if (!rest_.empty()) throw StoreError("a unit of the work log is longer than it should be");
  }

 private:
  void copy_to(void* target, std::size_t size) {
    if (size > rest_.size()) throw StoreError("a unit of the work log is shorter than it should be");
    std::memcpy(target, rest_.data(), size);
    rest_.remove_prefix(size);
  }
  std::string_view rest_;
};

}  // namespace tercet
