// A pickle machine that can build plain data and tensors and nothing else. Python's pickle is a program; this one knows
// about 40 opcodes and a list of seven kinds of names, and refuses every other by name, so nothing in a file can run.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tercet/model_io/torch_file.hpp"

namespace tercet {

class PickleReader {
 public:
  using StorageSource = std::function<at::Tensor(const std::string& key, c10::ScalarType type, std::int64_t elements)>;

  PickleReader(std::string_view pickle, std::string where, StorageSource storage)
      : text_(pickle), where_(std::move(where)), storage_(std::move(storage)) {}

  TorchValue read();  // throws DataError naming the file, what is refused and where in the pickle

 private:
  enum class Kind { kNone, kBool, kInt, kFloat, kText, kTuple, kList, kDict, kGlobal, kStorage, kTensor, kMark };
  // One value on the stack. Nodes live in a pool until the reader dies, so cycles in a hostile pickle cannot leak.
  struct Node {
    Kind kind = Kind::kNone;
    std::int64_t integer = 0;
    double real = 0;
    std::string text;          // also the name of a global
    std::vector<Node*> items;  // list, tuple; a dict as key, value, key, value
    at::Tensor tensor;         // tensor, storage (1-D)
  };

  void step(unsigned char opcode);
  bool step_scalar(unsigned char opcode);
  bool step_container(unsigned char opcode);
  bool step_memo(unsigned char opcode);
  void reduce();
  void build();
  [[noreturn]] void refuse_object();
  void persistent_id();
  at::Tensor rebuild_tensor(const Node& arguments) const;
  void append_items(const std::vector<Node*>& items);
  void set_items(const std::vector<Node*>& items);
  void put(std::uint64_t index);
  void get(std::uint64_t index);

  Node* make(Kind kind);
  Node* push(Kind kind);
  void push_integer(Kind kind, std::int64_t value);
  void push_text(Kind kind, std::string_view text);
  void push_tuple(std::size_t count);
  void refer_to(Node* node);
  Node* pop();
  Node& top();
  std::vector<Node*> pop_to_mark();

  std::uint64_t unsigned_bytes(int count);
  std::string_view take(std::uint64_t count);
  std::string_view line();
  std::int64_t integer_of(const Node& node, const std::string& what) const;
  std::vector<std::int64_t> integers_of(const Node& node, const std::string& what) const;
  TorchValue convert(const Node& node, int depth);
  const std::string& text_of(const Node& node);
  TorchValue convert_dict(const Node& node, int depth);
  [[noreturn]] void fail(const std::string& reason) const;

  std::string_view text_;
  std::string where_;
  StorageSource storage_;
  std::size_t position_ = 0;
  std::size_t converted_ = 0, converted_bytes_ = 0;
  std::deque<Node> pool_;
  std::vector<Node*> stack_;
  std::unordered_map<std::uint64_t, Node*> memo_;
};

}  // namespace tercet
