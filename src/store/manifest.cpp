#include "store/manifest.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet::store {
namespace {

constexpr const char* kFormat = "tercet-checkpoint";
constexpr int kVersion = 2;
constexpr const char* kChecksum = "manifest_sha256";
const std::string kWhat = "manifest.json is not valid";

struct Dtype {
  const char* name;
  at::ScalarType type;
};
constexpr std::array kDtypes = {Dtype{"float32", at::kFloat}, Dtype{"float64", at::kDouble}, Dtype{"int64", at::kLong}};

std::string checksum(const nlohmann::json& body) {
  return sha256_hex(std::string_view(body.dump()));
}

nlohmann::json to_json(const TensorEntry& tensor) {
  auto slices = nlohmann::json::array();
  for (const Slice& slice : tensor.slices) {
    slices.push_back({{"offset", slice.offset}, {"count", slice.count}, {"xxh3", slice.xxh3}});
  }
  return {{"name", tensor.name},
          {"shape", tensor.shape},
          {"dtype", tensor.dtype},
          {"position", tensor.position},
          {"slices", slices}};
}

void require_cover(const TensorEntry& tensor) {
  std::int64_t next = 0;
  for (const Slice& slice : tensor.slices) {
    if (slice.offset != next || slice.count < 0 || slice.count > tensor.element_count() - next) {
      throw StoreError(kWhat, "the slices of '" + tensor.name + "' leave holes or overlap");
    }
    next += slice.count;
  }
  if (next != tensor.element_count()) throw StoreError(kWhat, "the slices of '" + tensor.name + "' do not cover it");
}

std::int64_t count_of(const nlohmann::json& value, const std::string& key) {
  return json_integer(value, key, "manifest.json", 0);
}

TensorEntry tensor_from_json(const nlohmann::json& object) {
  TensorEntry tensor;
  object.at("name").get_to(tensor.name);
  for (const nlohmann::json& extent : object.at("shape")) tensor.shape.push_back(count_of(extent, "shape"));
  object.at("dtype").get_to(tensor.dtype);
  tensor.position = static_cast<std::uint64_t>(count_of(object.at("position"), "position"));
  for (const nlohmann::json& slice : object.at("slices")) {
    tensor.slices.push_back({count_of(slice.at("offset"), "offset"), count_of(slice.at("count"), "count"),
                             slice.at("xxh3").get<std::string>()});
  }
  dtype_of(tensor.dtype);
  require_cover(tensor);
  return tensor;
}

// Memory for the tensors is asked for on the word of the manifest: no more than the file beside it has bytes. And each
// tensor lies inside that file.
void require_room(const Manifest& manifest) {
  std::uint64_t rest = manifest.state_bytes;
  for (const TensorEntry& tensor : manifest.tensors) {
    const auto count = static_cast<std::uint64_t>(tensor.element_count());
    const std::uint64_t width = c10::elementSize(dtype_of(tensor.dtype));
    if (count > rest / width) throw StoreError(kWhat, "its tensors have more bytes than the file of the state");
    rest -= count * width;
    if (tensor.position > manifest.state_bytes || count * width > manifest.state_bytes - tensor.position) {
      throw StoreError(kWhat, "'" + tensor.name + "' reaches beyond the end of the file of the state");
    }
    if (tensor.position % width != 0) throw StoreError(kWhat, "'" + tensor.name + "' is not aligned");
  }
}

Manifest manifest_from_json(const nlohmann::json& body) {
  Manifest manifest;
  manifest.step = count_of(body.at("step"), "step");
  manifest.world_size =
      static_cast<int>(json_integer(body.at("world_size"), "world_size", "manifest.json", 1, 1 << 24));
  manifest.state_bytes = static_cast<std::uint64_t>(count_of(body.at("state_bytes"), "state_bytes"));
  manifest.metadata = body.at("metadata");
  for (const nlohmann::json& tensor : body.at("tensors")) manifest.tensors.push_back(tensor_from_json(tensor));
  require_room(manifest);
  return manifest;
}

}  // namespace

std::int64_t TensorEntry::element_count() const {
  std::int64_t count = 1;
  for (std::int64_t extent : shape) {
    if (extent < 0 || (extent > 0 && count > std::numeric_limits<std::int64_t>::max() / extent)) {
      throw StoreError(kWhat, "the shape of '" + name + "' is impossible");
    }
    count *= extent;
  }
  return count;
}

std::int64_t TensorEntry::element_bytes() const {
  return static_cast<std::int64_t>(c10::elementSize(dtype_of(dtype)));
}

std::vector<TensorEntry> describe(const StateTensors& tensors, std::int64_t slice_bytes) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, tensor] : tensors) {
    TensorEntry entry{name, tensor.sizes().vec(), dtype_name(tensor.scalar_type()), {}};
    const std::int64_t longest = std::max<std::int64_t>(1, slice_bytes / entry.element_bytes());
    for (std::int64_t offset = 0; offset < tensor.numel(); offset += longest) {
      entry.slices.push_back({offset, std::min(longest, tensor.numel() - offset), ""});
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<Assignment> in_runs(const std::vector<TensorEntry>& tensors, int ranks) {
  std::int64_t total = 0, before = 0;
  for (const TensorEntry& tensor : tensors) total += tensor.element_count() * tensor.element_bytes();
  std::vector<Assignment> assignments;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    for (std::size_t s = 0; s < tensors[t].slices.size(); ++s) {
      const double begin = static_cast<double>(before) / static_cast<double>(std::max<std::int64_t>(1, total));
      assignments.push_back({t, s, std::min(ranks - 1, static_cast<int>(begin * ranks))});
      before += tensors[t].slices[s].count * tensors[t].element_bytes();
    }
  }
  return assignments;
}

std::string dtype_name(at::ScalarType dtype) {
  for (const Dtype& known : kDtypes) {
    if (known.type == dtype) return known.name;
  }
  return "";
}

at::ScalarType dtype_of(const std::string& name) {
  for (const Dtype& known : kDtypes) {
    if (known.name == name) return known.type;
  }
  throw StoreError(kWhat, "dtype '" + name + "' is unknown");
}

std::string to_text(const Manifest& manifest) {
  auto tensors = nlohmann::json::array();
  for (const TensorEntry& tensor : manifest.tensors) tensors.push_back(to_json(tensor));
  nlohmann::json body = {{"format", kFormat},
                         {"version", kVersion},
                         {"step", manifest.step},
                         {"world_size", manifest.world_size},
                         {"state_bytes", manifest.state_bytes},
                         {"tensors", std::move(tensors)},
                         {"metadata", manifest.metadata}};
  body[kChecksum] = checksum(body);
  return body.dump(1);
}

Manifest parse_manifest(const std::string& text) {
  try {
    auto body = parse_json_object(text, "manifest.json");
    const auto written = body.at(kChecksum).get<std::string>();
    body.erase(kChecksum);
    if (checksum(body) != written) throw StoreError(kWhat, "its checksum is wrong");
    if (body.at("format") == kFormat && count_of(body.at("version"), "version") > kVersion) {
      throw NewerFormat("the checkpoint has format version " + body.at("version").dump(),
                        "this program knows " + std::to_string(kVersion),
                        "use the version of tercet that wrote it, or move it away to go on from an older one");
    }
    if (body.at("format") != kFormat || body.at("version") != kVersion) {
      throw StoreError(kWhat, "its format is " + body.at("format").dump() + " version " + body.at("version").dump());
    }
    return manifest_from_json(body);
  } catch (const nlohmann::json::exception& error) {
    throw StoreError(kWhat, error.what());
  } catch (const DataError& error) {
    throw StoreError(kWhat, error.what());
  }
}

}  // namespace tercet::store
