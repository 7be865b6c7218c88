// The objects that a pickle may build: OrderedDict, tensors and parameters over storages. Everything else is refused.
#include <algorithm>
#include <utility>

#include "dtype.hpp"
#include "pickle_reader.hpp"
#include "tercet/base/error.hpp"
#include "torch_types.hpp"

namespace tercet {
namespace {

std::string refusal(const std::string& name) {
  if (name == "torch._utils._rebuild_tensor_v3") {
    return "it holds a tensor of an element type that is not read (float8, unsigned integers above 8 bits)";
  }
  if (name.starts_with("transformers.") || name.starts_with("torch.nn.modules.") || name.starts_with("__main__.")) {
    return "it holds a whole object '" + name + "', not only tensors";
  }
  return "it asks for '" + name + "', which is not allowed";
}

}  // namespace

void PickleReader::reduce() {
  const Node& arguments = *pop();
  const Node& callable = *pop();
  if (callable.kind != Kind::kGlobal || arguments.kind != Kind::kTuple) fail("a call of something that has no name");
  const std::string& name = callable.text;
  if (name == "collections.OrderedDict") {
    if (!arguments.items.empty()) fail("an OrderedDict made with arguments is not supported");
    push(Kind::kDict);
  } else if (name == "torch._utils._rebuild_tensor_v2") {
    at::Tensor tensor = rebuild_tensor(arguments);
    push(Kind::kTensor)->tensor = std::move(tensor);
  } else if (name == "torch._utils._rebuild_parameter") {
    if (arguments.items.empty() || arguments.items[0]->kind != Kind::kTensor) fail("a parameter without a tensor");
    refer_to(arguments.items[0]);
  } else {
    fail(refusal(name));
  }
}

void PickleReader::refuse_object() {
  pop();
  const Node& type = top();
  fail(type.kind == Kind::kGlobal ? refusal(type.text) : "it makes an object of an unnamed type");
}

// A state_dict is an OrderedDict with an attribute (_metadata: versions of modules). It is dropped; no other object
// has attributes here.
void PickleReader::build() {
  pop();
  if (top().kind != Kind::kDict) fail("attributes are set on something else than an OrderedDict");
}

// ("storage", torch.FloatStorage, key, location, elements)
void PickleReader::persistent_id() {
  const Node& id = *pop();
  const bool shaped = id.kind == Kind::kTuple && id.items.size() == 5 && id.items[0]->kind == Kind::kText &&
                      id.items[0]->text == "storage" && id.items[1]->kind == Kind::kGlobal &&
                      id.items[2]->kind == Kind::kText;
  if (!shaped) fail("a storage is not described as PyTorch does");
  // An untyped storage is bytes; only tensors of types that are refused below lie in one.
  const std::string& named = id.items[1]->text;
  const std::string storage_class = named == "torch.storage.UntypedStorage" ? "torch.ByteStorage" : named;
  const auto known = std::find_if(kTorchStorages.begin(), kTorchStorages.end(), [&](const auto& entry) {
    return storage_class == "torch." + std::string(entry.first);
  });
  if (known == kTorchStorages.end()) fail("storage type '" + storage_class + "' is not supported");
  const std::int64_t elements = integer_of(*id.items[4], "the size of a storage");
  at::Tensor storage = storage_(id.items[2]->text, known->second, elements);
  push(Kind::kStorage)->tensor = std::move(storage);
}

// (storage, offset, size, stride, requires_grad, backward_hooks[, metadata])
at::Tensor PickleReader::rebuild_tensor(const Node& arguments) const {
  const auto& items = arguments.items;
  if (items.size() < 4 || items[0]->kind != Kind::kStorage) fail("a tensor is not described as PyTorch does");
  const at::Tensor& storage = items[0]->tensor;
  const std::int64_t offset = integer_of(*items[1], "the offset of a tensor");
  const auto size = integers_of(*items[2], "the shape of a tensor");
  const auto stride = integers_of(*items[3], "the strides of a tensor");
  if (size.size() != stride.size() || size.size() > kMaxDimensions) fail("a tensor has a malformed shape");
  const auto elements = checked_bytes(size, 1);
  if (offset < 0 || !checked_bytes(size, storage.element_size())) {
    fail("a tensor of shape " + shape_text(size) + " overflows");
  }
  const bool empty = std::find(size.begin(), size.end(), 0) != size.end();
  std::int64_t last = offset;
  for (std::size_t i = 0; i < size.size() && !empty; ++i) {
    std::int64_t reach = 0;
    const bool overflow =
        __builtin_mul_overflow(size[i] - 1, stride[i], &reach) || __builtin_add_overflow(last, reach, &last);
    if (stride[i] < 0 || overflow) fail("a tensor has strides out of range");
  }
  if (!empty && last >= storage.numel()) {
    fail("a tensor of shape " + shape_text(size) + " reaches element " + std::to_string(last) + " of a storage of " +
         std::to_string(storage.numel()));
  }
  // An expanded tensor would cost its elements, not its bytes, wherever it is copied.
  if (!empty && *elements > static_cast<std::uint64_t>(storage.numel())) {
    fail("a tensor of shape " + shape_text(size) + " repeats the elements of a storage of " +
         std::to_string(storage.numel()));
  }
  return empty ? storage.new_empty(size) : storage.as_strided(size, stride, offset);
}

std::int64_t PickleReader::integer_of(const Node& node, const std::string& what) const {
  if (node.kind != Kind::kInt) fail(what + " is not an integer");
  return node.integer;
}

std::vector<std::int64_t> PickleReader::integers_of(const Node& node, const std::string& what) const {
  if (node.kind != Kind::kTuple) fail(what + " is not a tuple");
  std::vector<std::int64_t> values;
  for (const Node* item : node.items) values.push_back(integer_of(*item, what));
  return values;
}

}  // namespace tercet
