// The wire format of Protocol Buffers, as far as event files and run files need it
// (https://protobuf.dev/programming-guides/encoding). Fields are written in the order of the calls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tercet::track {

class Message {
 public:
  Message& integer(int field, std::int64_t value);      // int32, int64, bool and enum
  Message& number(int field, double value);             // double
  Message& single(int field, float value);              // float
  Message& text(int field, std::string_view value);     // string and bytes
  Message& message(int field, const Message& content);  // a message inside this one
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value);
  void key(int field, int wire_type);
  std::string bytes_;
};

// Little endian, as all formats of this module are.
template <typename Number>
void append_number(std::string& bytes, Number value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace tercet::track
