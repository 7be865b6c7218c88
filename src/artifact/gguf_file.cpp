#include "gguf_file.hpp"

#include <algorithm>
#include <bit>
#include <set>
#include <type_traits>

#include "tercet/base/error.hpp"
#include "tercet/model_io/staged_file.hpp"

namespace tercet {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little endian and written as memory has it");

constexpr std::uint32_t kVersion = 3;
constexpr std::uint64_t kAlignment = 32;  // the default, of a file without general.alignment
constexpr std::size_t kLongestName = 63;

// The numbers of value types.
template <typename Value>
constexpr std::uint32_t value_type() {
  if constexpr (std::is_same_v<Value, std::uint32_t>) return 4;
  if constexpr (std::is_same_v<Value, std::int32_t>) return 5;
  if constexpr (std::is_same_v<Value, float>) return 6;
  if constexpr (std::is_same_v<Value, bool>) return 7;
  if constexpr (std::is_same_v<Value, std::string>) return 8;
}
constexpr std::uint32_t kArray = 9;

std::uint64_t aligned(std::uint64_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

class Header {
 public:
  explicit Header(const GgufFile& content) {
    text_ = "GGUF";
    put(kVersion);
    put(static_cast<std::uint64_t>(content.tensors.size()));
    put(static_cast<std::uint64_t>(content.keys.size()));
    for (const auto& [key, value] : content.keys) {
      put(key);
      std::visit([this](const auto& held) { put_value(held); }, value);
    }
    std::uint64_t offset = 0;
    for (const GgufTensor& tensor : content.tensors) {
      put_tensor(tensor, offset);
      offset = aligned(offset + tensor.bytes);
    }
    text_.resize(aligned(text_.size()), '\0');
  }
  const std::string& text() const { return text_; }

 private:
  template <typename Number>
  void put(Number number) {
    text_.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  void put(bool flag) { text_.push_back(flag ? '\1' : '\0'); }
  void put(const std::string& text) {
    put(static_cast<std::uint64_t>(text.size()));
    text_ += text;
  }

  template <typename Value>
  void put_value(const Value& value) {
    put(value_type<Value>());
    put(value);
  }
  template <typename Item>
  void put_value(const std::vector<Item>& items) {
    put(kArray);
    put(value_type<Item>());
    put(static_cast<std::uint64_t>(items.size()));
    for (const Item& item : items) put(item);
  }

  void put_tensor(const GgufTensor& tensor, std::uint64_t offset) {
    put(tensor.name);
    put(static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) put(static_cast<std::uint64_t>(*size));
    put(tensor.type);
    put(offset);
  }

  std::string text_;
};

void check_names(const GgufFile& content, const std::string& where) {
  std::set<std::string> names;
  for (const GgufTensor& tensor : content.tensors) {
    const bool twice = !names.insert(tensor.name).second;
    if (twice) throw DataError("tensor '" + tensor.name + "' would be twice in '" + where + "'");
    if (tensor.name.size() > kLongestName) {
      throw DataError("tensor '" + tensor.name + "' cannot be in '" + where + "'", "its name has 64 bytes or more");
    }
  }
}

}  // namespace

void write_gguf(const std::filesystem::path& file, const GgufFile& content) {
  check_names(content, file.string());
  StagedFile staged(file);
  staged.write(Header(content).text());
  for (const GgufTensor& tensor : content.tensors) {
    const at::Tensor data = tensor.make();
    if (data.nbytes() != tensor.bytes || !data.is_contiguous()) {
      throw DataError("tensor '" + tensor.name + "' of '" + file.string() + "' was to have " +
                      std::to_string(tensor.bytes) + " bytes, not " + std::to_string(data.nbytes()));
    }
    staged.write(data.const_data_ptr(), data.nbytes());
    staged.write(std::string(aligned(tensor.bytes) - tensor.bytes, '\0'));
  }
  staged.publish();
}

}  // namespace tercet
