// The independent check of kernels.safetensors, from docs/formats.md: every code, scale and zero point against the
// packed file's, and nothing but zeros around them.
#include <map>
#include <set>

#include "export_checks.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/model_io/weights.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPackedName = "bitnet_quantized_model.pt";
constexpr std::int64_t kRowsOfBlock = 16, kBytesOfChunk = 64, kWidestRow = 65536;

std::int64_t round_up(std::int64_t count, std::int64_t unit) {
  return (count + unit - 1) / unit * unit;
}

// How a matrix lies in the file, by the name of its format and its group alone.
struct KernelOrder {
  int bits = 0, zero = 0;  // of a code; code of level 0
  std::int64_t rows = 0, columns = 0, group = 0;
  bool one_scale = false;  // for the whole matrix
  std::int64_t columns_of_chunk() const { return 32 / bits; }
  std::int64_t blocks() const { return round_up(rows, kRowsOfBlock) / kRowsOfBlock; }
  std::int64_t chunks() const { return round_up(columns, columns_of_chunk()) / columns_of_chunk(); }
  std::int64_t groups() const { return (columns + group - 1) / group; }
};

KernelOrder order_of(const StoredTensor& stored) {
  static const std::map<std::string, std::pair<int, int>> kBitsAndZero{
      {"ternary", {2, 1}}, {"ternary5", {2, 1}}, {"int2", {2, 2}},  {"int3", {4, 4}},
      {"int4", {4, 8}},    {"int6", {8, 128}},   {"int8", {8, 128}}};
  const auto [bits, zero] = kBitsAndZero.at(stored.spec.format->name());
  const bool by_group = stored.spec.granularity == Granularity::kGroup;
  const std::int64_t columns = stored.shape[1];
  return {bits,
          zero,
          stored.shape[0],
          columns,
          by_group ? std::min(stored.spec.group_size, columns) : columns,
          stored.spec.granularity == Granularity::kTensor};
}

bool is_expected(const PackedTensor& tensor) {
  static const std::set<std::string> kOthers{"norm", "bias", "position_embedding"};
  if (!tensor.stored.spec.format->is_grid() || kOthers.contains(tensor.role)) return false;
  const KernelOrder order = order_of(tensor.stored);
  return order.columns <= kWidestRow && (order.groups() == 1 || order.group % order.columns_of_chunk() == 0);
}

class KernelsCheck {
 public:
  KernelsCheck(const fs::path& path, Findings& findings)
      : path_(path), findings_(findings), source_(open_safetensors(path)) {
    for (const auto& [name, info] : source_->tensors()) left_.insert(name);
  }

  void check_metadata() {
    const auto metadata = safetensors_metadata(path_);
    const auto is = [&](const std::string& key, const std::string& value) {
      return metadata.contains(key) && metadata.at(key) == value;
    };
    if (!is("kernel_layout", "1")) say("its layout is not version 1");
    if (!is("packed_sha256", sha256_file(path_.parent_path() / kPackedName))) say("it was made of another packed file");
  }

  void compare(const PackedTensor& tensor) {
    const StoredTensor& stored = tensor.stored;
    const KernelOrder order = order_of(stored);
    const std::int64_t tables = order.blocks() * order.groups();
    const at::Tensor codes = take(tensor.name + ".codes", "U8", {order.blocks(), order.chunks(), kBytesOfChunk});
    const at::Tensor scales = take(tensor.name + ".scales", "F16", {round_up(tables, 2), kRowsOfBlock});
    if (codes.defined()) compare_codes(tensor.name, codes, decode_levels(stored), order);
    if (scales.defined())
      compare_tables<std::uint16_t>(tensor.name, "scales", scales, order, [&](std::int64_t at) {
        return static_cast<const std::uint16_t*>(stored.scales.const_data_ptr())[at];
      });
    if (!stored.zero_points.defined()) return;
    const at::Tensor zeros = take(tensor.name + ".zero_points", "I8", {round_up(tables, 4), kRowsOfBlock});
    const int zero = stored.spec.format->layout().zero;
    if (zeros.defined())
      compare_tables<std::int8_t>(tensor.name, "zero points", zeros, order, [&](std::int64_t at) {
        const bool is_signed = stored.zero_points.scalar_type() == at::kChar;
        const auto byte = static_cast<const std::uint8_t*>(stored.zero_points.const_data_ptr())[at];
        return static_cast<std::int8_t>((is_signed ? static_cast<std::int8_t>(byte) : byte) - zero);
      });
  }

  void report_superfluous() {
    for (const std::string& name : left_) say("tensor '" + name + "' does not belong to the packed model");
  }

 private:
  void say(const std::string& what) { findings_.push_back(path_.filename().string() + ": " + what); }

  at::Tensor take(const std::string& name, const std::string& type, const std::vector<std::int64_t>& shape) {
    left_.erase(name);
    const auto found = source_->tensors().find(name);
    if (found == source_->tensors().end()) {
      say("tensor '" + name + "' is missing");
    } else if (found->second.dtype != type || found->second.shape != shape) {
      say("tensor '" + name + "' has another type or shape than its packed codes");
    } else {
      const at::Tensor tensor = source_->tensor(name);
      if (reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % 64 != 0)
        say("tensor '" + name + "' does not begin at a multiple of 64 bytes");
      return tensor;
    }
    return {};
  }

  void report(const std::string& tensor, const std::string& what, std::int64_t different) {
    if (different > 0)
      say(std::to_string(different) + " " + what + " of tensor '" + tensor + "' differ from the packed file's");
  }

  // Column 4 f + j of a chunk's row r is field f, from the lowest bit, of byte 4 r + j; what is no code is 0.
  void compare_codes(const std::string& name, const at::Tensor& codes, const at::Tensor& levels,
                     const KernelOrder& order) {
    const auto* byte = codes.const_data_ptr<std::uint8_t>();
    const auto* level = levels.const_data_ptr<std::int8_t>();
    std::int64_t different = 0;
    for (std::int64_t row = 0; row < order.blocks() * kRowsOfBlock; ++row) {
      for (std::int64_t column = 0; column < order.chunks() * order.columns_of_chunk(); ++column) {
        const std::int64_t chunk = row / kRowsOfBlock * order.chunks() + column / order.columns_of_chunk();
        const std::int64_t field = column % order.columns_of_chunk();
        const int shifted =
            byte[chunk * kBytesOfChunk + 4 * (row % kRowsOfBlock) + field % 4] >> order.bits * (field / 4);
        const bool inside = row < order.rows && column < order.columns;
        const int wanted = inside ? level[row * order.columns + column] + order.zero : 0;
        different += (shifted & ((1 << order.bits) - 1)) != wanted;
      }
    }
    report(name, "codes", different);
  }

  // A table of 16 rows for each block and group of the matrix; `stored` gives a value by its place in the packed file.
  template <typename T, typename Stored>
  void compare_tables(const std::string& name, const std::string& what, const at::Tensor& tables,
                      const KernelOrder& order, Stored stored) {
    const auto* found = static_cast<const T*>(tables.const_data_ptr());
    std::int64_t different = 0;
    for (std::int64_t i = 0; i < tables.numel(); ++i) {
      const std::int64_t table = i / kRowsOfBlock, group = table % order.groups();
      const std::int64_t row = table / order.groups() * kRowsOfBlock + i % kRowsOfBlock;
      const std::int64_t place = order.one_scale ? 0 : row * order.groups() + group;
      different += found[i] != (row < order.rows ? stored(place) : T{0});
    }
    report(name, what, different);
  }

  const fs::path path_;
  Findings& findings_;
  std::unique_ptr<WeightSource> source_;
  std::set<std::string> left_;
};

}  // namespace

void check_kernels(const fs::path& path, const PackedModel& model, Findings& findings) {
  KernelsCheck check(path, findings);
  check.check_metadata();
  for (const PackedTensor& tensor : model.tensors) {
    heartbeat::beat();
    if (is_expected(tensor)) check.compare(tensor);
  }
  check.report_superfluous();
}

}  // namespace tercet
