#include "pickle_writer.hpp"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "pickle_opcodes.hpp"
#include "tercet/base/error.hpp"
#include "torch_types.hpp"

namespace tercet {
namespace {

std::string_view storage_class(c10::ScalarType type) {
  const auto known = std::find_if(kTorchStorages.begin(), kTorchStorages.end(),
                                  [type](const auto& entry) { return entry.second == type; });
  if (known == kTorchStorages.end()) {
    throw StoreError(std::string("a tensor of type ") + c10::toString(type) + " cannot be written to a PyTorch file");
  }
  return known->first;
}

// Tensors over one such storage are recognised; a deferred one (on the meta device) has its storage but no memory.
bool has_own_storage(const at::Tensor& tensor) {
  return tensor.is_cpu() || tensor.is_meta();
}

}  // namespace

PickleWriter::PickleWriter(const TorchValue& root) {
  count_storages(root);
  opcode(pickle::kProto);
  opcode(2);
  value(root);
  opcode(pickle::kStop);
}

void PickleWriter::count_storages(const TorchValue& value) {
  if (const auto* tensor = std::get_if<at::Tensor>(&value)) {
    if (!tensor->defined()) throw StoreError("an undefined tensor cannot be written to a PyTorch file");
    if (has_own_storage(*tensor)) ++uses_[{tensor->storage().unsafeGetStorageImpl(), tensor->scalar_type()}];
  } else if (const auto* items = std::get_if<TorchList>(&value)) {
    for (const auto& item : *items) count_storages(item);
  } else if (const auto* entries = std::get_if<TorchDict>(&value)) {
    for (const auto& [key, entry] : *entries) count_storages(entry);
  }
}

void PickleWriter::value(const TorchValue& value) {
  std::visit(
      [this](const auto& held) {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, std::monostate>) {
          opcode(pickle::kNone);
        } else if constexpr (std::is_same_v<Held, bool>) {
          opcode(held ? pickle::kNewTrue : pickle::kNewFalse);
        } else if constexpr (std::is_same_v<Held, std::int64_t>) {
          integer(held);
        } else if constexpr (std::is_same_v<Held, double>) {
          real(held);
        } else if constexpr (std::is_same_v<Held, std::string>) {
          text(held);
        } else if constexpr (std::is_same_v<Held, at::Tensor>) {
          tensor(held);
        } else if constexpr (std::is_same_v<Held, TorchList>) {
          list(held);
        } else {
          dict(held);
        }
      },
      static_cast<const TorchValue::variant&>(value));
}

void PickleWriter::dict(const TorchDict& dict) {
  opcode(pickle::kEmptyDict);
  if (dict.empty()) return;
  opcode(pickle::kMark);
  for (const auto& [key, entry] : dict) {
    text(key);
    value(entry);
  }
  opcode(pickle::kSetItems);
}

void PickleWriter::list(const TorchList& list) {
  opcode(pickle::kEmptyList);
  if (list.empty()) return;
  opcode(pickle::kMark);
  for (const auto& item : list) value(item);
  opcode(pickle::kAppends);
}

// Writes a reference and returns true if `what` was written before; else the caller writes it and it is memorised by
// `memorise` below.
bool PickleWriter::recall(const std::string& what) {
  const auto found = memo_.find(what);
  if (found == memo_.end()) return false;
  const std::uint32_t index = found->second;
  opcode(index < 256 ? pickle::kBinGet : pickle::kLongBinGet);
  fixed(&index, index < 256 ? 1 : 4);
  return true;
}

void PickleWriter::memorise(const std::string& what) {
  const auto index = static_cast<std::uint32_t>(memo_.size());
  memo_.emplace(what, index);
  opcode(index < 256 ? pickle::kBinPut : pickle::kLongBinPut);
  fixed(&index, index < 256 ? 1 : 4);
}

void PickleWriter::text(std::string_view text) {
  const std::string key = "t" + std::string(text);
  if (recall(key)) return;
  const auto length = static_cast<std::uint32_t>(text.size());
  if (length != text.size()) throw StoreError("a string above 4 GB cannot be written to a PyTorch file");
  opcode(pickle::kBinUnicode);
  fixed(&length, sizeof(length));
  out_ += text;
  memorise(key);
}

void PickleWriter::global(const std::string& module_and_name) {
  if (recall("g" + module_and_name)) return;
  opcode(pickle::kGlobal);
  out_ += module_and_name;
  memorise("g" + module_and_name);
}

void PickleWriter::integer(std::int64_t number) {
  if (number >= 0 && number < 256) {
    opcode(pickle::kBinInt1);
    fixed(&number, 1);
  } else if (number >= 0 && number < 65536) {
    opcode(pickle::kBinInt2);
    fixed(&number, 2);
  } else if (number >= INT32_MIN && number <= INT32_MAX) {
    opcode(pickle::kBinInt);
    fixed(&number, 4);
  } else {
    opcode(pickle::kLong1);
    opcode(8);
    fixed(&number, 8);
  }
}

void PickleWriter::real(double number) {
  const std::uint64_t bits = __builtin_bswap64(std::bit_cast<std::uint64_t>(number));
  opcode(pickle::kBinFloat);
  fixed(&bits, sizeof(bits));
}

void PickleWriter::integers(at::IntArrayRef numbers) {
  if (numbers.empty()) return opcode(pickle::kEmptyTuple);
  opcode(pickle::kMark);
  for (const std::int64_t number : numbers) integer(number);
  opcode(pickle::kTuple);
}

void PickleWriter::storage(std::string_view storage_class, std::size_t index, std::int64_t elements) {
  opcode(pickle::kMark);
  text("storage");
  global("torch\n" + std::string(storage_class) + "\n");
  text(std::to_string(index));
  text("cpu");
  integer(elements);
  opcode(pickle::kTuple);
  opcode(pickle::kBinPersId);
}

// A storage that several tensors use is written whole and stays shared; a tensor of its own is written compactly.
void PickleWriter::tensor(const at::Tensor& tensor) {
  const bool own = has_own_storage(tensor);
  const StorageKey key{own ? tensor.storage().unsafeGetStorageImpl() : nullptr, tensor.scalar_type()};
  const bool shared = own && uses_[key] > 1;
  const at::Tensor written = shared || tensor.is_meta() ? tensor : tensor.cpu().contiguous();
  const c10::Storage& memory = written.storage();
  const std::size_t bytes = shared ? memory.nbytes() : written.nbytes();
  const std::size_t index =
      shared ? shared_indices_.try_emplace(key, storages_.size()).first->second : storages_.size();
  if (index == storages_.size()) {
    const void* data = tensor.is_meta() ? nullptr : shared ? memory.data() : written.const_data_ptr();
    storages_.push_back({written, data, bytes});
  }
  global("torch._utils\n_rebuild_tensor_v2\n");
  opcode(pickle::kMark);
  storage(storage_class(tensor.scalar_type()), index, static_cast<std::int64_t>(bytes / tensor.element_size()));
  integer(shared ? written.storage_offset() : 0);
  integers(written.sizes());
  integers(written.strides());
  opcode(pickle::kNewFalse);  // requires_grad
  global("collections\nOrderedDict\n");
  opcode(pickle::kEmptyTuple);
  opcode(pickle::kReduce);
  opcode(pickle::kTuple);
  opcode(pickle::kReduce);
}

}  // namespace tercet
