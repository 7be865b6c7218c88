#include "pickle_reader.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <utility>

#include "dtype.hpp"
#include "pickle_opcodes.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/utf8.hpp"

namespace tercet {
namespace {

// What a small file can be made to unfold to. The largest state dicts have some ten thousand tensors of about twenty
// values each; the memo and the stack hold one reference a value.
constexpr std::size_t kMaxNodes = 4'000'000;
constexpr std::size_t kMaxTextBytes = 256'000'000;  // of all texts, once for each place that refers to them
constexpr std::size_t kMaxNameBytes = 1024;         // of a module or class
constexpr int kMaxNesting = 64;

}  // namespace

void PickleReader::fail(const std::string& reason) const {
  throw DataError("'" + where_ + "' cannot be read", reason + ", at byte " + std::to_string(position_) + " of data.pkl",
                  "only plain dicts, lists, numbers, strings and tensors are read; save model.state_dict()");
}

TorchValue PickleReader::read() {
  if (text_.size() < 2 || text_[0] != '\x80') fail("it does not begin as a pickle of protocol 2 to 5");
  while (true) {
    const auto opcode = static_cast<unsigned char>(take(1).front());
    if (opcode == pickle::kStop) break;
    step(opcode);
  }
  const Node* result = pop();
  return convert(*result, 0);
}

void PickleReader::step(unsigned char opcode) {
  if (step_scalar(opcode) || step_container(opcode) || step_memo(opcode)) return;
  switch (opcode) {
    case pickle::kGlobal: {
      const std::string module(line());
      push_text(Kind::kGlobal, module + "." + std::string(line()));
      return;
    }
    case pickle::kStackGlobal: {
      const Node* name = pop();
      const Node* module = pop();
      if (name->kind != Kind::kText || module->kind != Kind::kText) fail("a global without a name");
      if (std::max(name->text.size(), module->text.size()) > kMaxNameBytes) fail("a name has no end");
      push_text(Kind::kGlobal, module->text + "." + name->text);
      return;
    }
    case pickle::kReduce:
      return reduce();
    case pickle::kNewObj:
      refuse_object();
    case pickle::kBuild:
      return build();
    case pickle::kBinPersId:
      return persistent_id();
    default: {
      static constexpr char kDigits[] = "0123456789abcdef";
      fail(std::string("opcode 0x") + kDigits[opcode >> 4] + kDigits[opcode & 15] + " is not supported");
    }
  }
}

bool PickleReader::step_scalar(unsigned char opcode) {
  switch (opcode) {
    case pickle::kProto:
      if (const auto version = unsigned_bytes(1); version < 2 || version > 5) {
        fail("pickle protocol " + std::to_string(version) + " is not supported");
      }
      return true;
    case pickle::kFrame:
      unsigned_bytes(8);
      return true;
    case pickle::kNone:
      push(Kind::kNone);
      return true;
    case pickle::kNewTrue:
      push_integer(Kind::kBool, 1);
      return true;
    case pickle::kNewFalse:
      push_integer(Kind::kBool, 0);
      return true;
    case pickle::kBinInt:
      push_integer(Kind::kInt, static_cast<std::int32_t>(unsigned_bytes(4)));
      return true;
    case pickle::kBinInt1:
      push_integer(Kind::kInt, static_cast<std::int64_t>(unsigned_bytes(1)));
      return true;
    case pickle::kBinInt2:
      push_integer(Kind::kInt, static_cast<std::int64_t>(unsigned_bytes(2)));
      return true;
    case pickle::kLong1: {
      const auto count = static_cast<int>(unsigned_bytes(1));
      if (count > 8) fail("an integer of more than 64 bits");
      const std::uint64_t bits = unsigned_bytes(count);
      const int unused = 64 - 8 * count;
      const auto value = count == 0 ? 0 : static_cast<std::int64_t>(bits << unused) >> unused;
      push_integer(Kind::kInt, value);
      return true;
    }
    case pickle::kBinFloat:
      push(Kind::kFloat)->real = std::bit_cast<double>(__builtin_bswap64(unsigned_bytes(8)));
      return true;
    case pickle::kBinUnicode:
      push_text(Kind::kText, take(unsigned_bytes(4)));
      return true;
    case pickle::kShortBinUnicode:
      push_text(Kind::kText, take(unsigned_bytes(1)));
      return true;
    case pickle::kBinUnicode8:
      push_text(Kind::kText, take(unsigned_bytes(8)));
      return true;
    default:
      return false;
  }
}

bool PickleReader::step_container(unsigned char opcode) {
  switch (opcode) {
    case pickle::kMark:
      push(Kind::kMark);
      return true;
    case pickle::kPop:
      pop();
      return true;
    case pickle::kPopMark:
      pop_to_mark();
      return true;
    case pickle::kEmptyTuple:
      push(Kind::kTuple);
      return true;
    case pickle::kTuple1:
      push_tuple(1);
      return true;
    case pickle::kTuple2:
      push_tuple(2);
      return true;
    case pickle::kTuple3:
      push_tuple(3);
      return true;
    case pickle::kTuple: {
      auto items = pop_to_mark();
      push(Kind::kTuple)->items = std::move(items);
      return true;
    }
    case pickle::kEmptyList:
      push(Kind::kList);
      return true;
    case pickle::kEmptyDict:
      push(Kind::kDict);
      return true;
    case pickle::kAppend: {
      Node* item = pop();
      append_items({item});
      return true;
    }
    case pickle::kAppends:
      append_items(pop_to_mark());
      return true;
    case pickle::kSetItem: {
      Node* value = pop();
      Node* key = pop();
      set_items({key, value});
      return true;
    }
    case pickle::kSetItems:
      set_items(pop_to_mark());
      return true;
    default:
      return false;
  }
}

bool PickleReader::step_memo(unsigned char opcode) {
  switch (opcode) {
    case pickle::kBinPut:
      put(unsigned_bytes(1));
      return true;
    case pickle::kLongBinPut:
      put(unsigned_bytes(4));
      return true;
    case pickle::kMemoize:
      put(memo_.size());
      return true;
    case pickle::kBinGet:
      get(unsigned_bytes(1));
      return true;
    case pickle::kLongBinGet:
      get(unsigned_bytes(4));
      return true;
    default:
      return false;
  }
}

void PickleReader::append_items(const std::vector<Node*>& items) {
  Node& list = top();
  if (list.kind != Kind::kList) fail("something is appended to what is no list");
  list.items.insert(list.items.end(), items.begin(), items.end());
}

void PickleReader::set_items(const std::vector<Node*>& items) {
  Node& dict = top();
  if (dict.kind != Kind::kDict || items.size() % 2 != 0) fail("something is set in what is no dict");
  dict.items.insert(dict.items.end(), items.begin(), items.end());
}

void PickleReader::put(std::uint64_t index) {
  memo_[index] = &top();
  if (memo_.size() > kMaxNodes) fail("it remembers more than " + std::to_string(kMaxNodes) + " values");
}

void PickleReader::get(std::uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) fail("memo " + std::to_string(index) + " was never written");
  if (found->second->kind == Kind::kMark) fail("a mark is used as a value");
  refer_to(found->second);
}

void PickleReader::refer_to(Node* node) {
  if (stack_.size() >= kMaxNodes) fail("its stack holds more than " + std::to_string(kMaxNodes) + " values");
  stack_.push_back(node);
}

PickleReader::Node* PickleReader::make(Kind kind) {
  if (pool_.size() >= kMaxNodes) fail("it holds more than " + std::to_string(kMaxNodes) + " values");
  pool_.emplace_back().kind = kind;
  return &pool_.back();
}

PickleReader::Node* PickleReader::push(Kind kind) {
  stack_.push_back(make(kind));
  return stack_.back();
}

void PickleReader::push_integer(Kind kind, std::int64_t value) {
  push(kind)->integer = value;
}

void PickleReader::push_text(Kind kind, std::string_view text) {
  push(kind)->text = text;
}

void PickleReader::push_tuple(std::size_t count) {
  std::vector<Node*> items(count);
  for (std::size_t i = count; i-- > 0;) items[i] = pop();
  push(Kind::kTuple)->items = std::move(items);
}

PickleReader::Node* PickleReader::pop() {
  Node* node = &top();
  stack_.pop_back();
  return node;
}

PickleReader::Node& PickleReader::top() {
  if (stack_.empty() || stack_.back()->kind == Kind::kMark) fail("its stack is empty where a value is needed");
  return *stack_.back();
}

std::vector<PickleReader::Node*> PickleReader::pop_to_mark() {
  std::size_t mark = stack_.size();
  while (mark > 0 && stack_[mark - 1]->kind != Kind::kMark) --mark;
  if (mark == 0) fail("a mark is missing");
  std::vector<Node*> items(stack_.begin() + static_cast<std::ptrdiff_t>(mark), stack_.end());
  stack_.resize(mark - 1);
  return items;
}

std::uint64_t PickleReader::unsigned_bytes(int count) {
  const std::string_view bytes = take(static_cast<std::uint64_t>(count));
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  return value;
}

std::string_view PickleReader::take(std::uint64_t count) {
  if (count > text_.size() - position_) fail("it ends in the middle");
  const std::string_view part = text_.substr(position_, count);
  position_ += count;
  return part;
}

std::string_view PickleReader::line() {
  const std::size_t end = text_.find('\n', position_);
  if (end == std::string_view::npos || end - position_ > kMaxNameBytes) fail("a name has no end");
  const std::string_view part = text_.substr(position_, end - position_);
  position_ = end + 1;
  return part;
}

TorchValue PickleReader::convert(const Node& node, int depth) {
  if (depth > kMaxNesting) fail("it is nested deeper than " + std::to_string(kMaxNesting) + " levels");
  // A few bytes can name the same list again and again, each time twice: what comes out is bounded, too.
  if (++converted_ > kMaxNodes) fail("it unfolds to more than " + std::to_string(kMaxNodes) + " values");
  switch (node.kind) {
    case Kind::kNone:
      return std::monostate{};
    case Kind::kBool:
      return node.integer != 0;
    case Kind::kInt:
      return node.integer;
    case Kind::kFloat:
      return node.real;
    case Kind::kText:
      return text_of(node);
    case Kind::kTensor:
      return node.tensor;
    case Kind::kDict:
      return convert_dict(node, depth);
    case Kind::kTuple:
    case Kind::kList: {
      TorchList list;
      for (const Node* item : node.items) list.push_back(convert(*item, depth + 1));
      return list;
    }
    case Kind::kGlobal:
      fail("'" + node.text + "' stands where a value is expected");
    case Kind::kStorage:
      fail("a bare storage stands where a tensor is expected");
    case Kind::kMark:
      break;
  }
  fail("a mark stands where a value is expected");
}

const std::string& PickleReader::text_of(const Node& node) {
  converted_bytes_ += node.text.size();
  if (converted_bytes_ > kMaxTextBytes) fail("it unfolds to more than " + std::to_string(kMaxTextBytes) + " bytes");
  if (first_invalid_utf8(node.text) != std::string_view::npos) fail("it holds a text that is not UTF-8");
  return node.text;
}

TorchValue PickleReader::convert_dict(const Node& node, int depth) {
  TorchDict dict;
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < node.items.size(); i += 2) {
    const Node& key = *node.items[i];
    if (key.kind != Kind::kText) fail("a dict has a key that is no string");
    if (!seen.insert(key.text).second) fail("the key '" + key.text + "' appears twice in a dict");
    dict.emplace_back(text_of(key), convert(*node.items[i + 1], depth + 1));
  }
  return dict;
}

}  // namespace tercet
