// Reading the fields of one protocol-buffers message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tercet::text {

// The wire format of protocol buffers, as far as sentencepiece_model.proto uses it.
class MessageReader {
 public:
  explicit MessageReader(std::string_view bytes) : rest_(bytes) {}

  bool next() {
    if (rest_.empty() || stuck_) return false;
    const std::uint64_t tag = varint();
    field_ = tag >> 3;
    value_ = 0;
    bytes_ = {};
    switch (tag & 7) {
      case 0:
        value_ = varint();
        return true;
      case 1:
        return skip(8);
      case 2:
        return skip(varint());
      case 5:
        return skip(4);
      default:
        return stop();
    }
  }
  // Whether next() gave false at the end of the message, and not before something that it does not understand.
  bool at_end() const { return rest_.empty() && !stuck_; }
  std::uint64_t field() const { return field_; }
  std::uint64_t value() const { return value_; }
  std::string_view bytes() const { return bytes_; }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) break;
    }
    return value;
  }

  bool skip(std::uint64_t count) {
    if (count > rest_.size()) return stop();
    bytes_ = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return true;
  }

  bool stop() {
    stuck_ = true;
    return false;
  }

  std::string_view rest_, bytes_;
  std::uint64_t field_ = 0, value_ = 0;
  bool stuck_ = false;
};

}  // namespace tercet::text
