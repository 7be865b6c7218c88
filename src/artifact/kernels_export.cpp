// kernels.safetensors: the matrices in the order of the kernels, for programs of ours that map it (kernel_file.hpp).
#include "export_table.hpp"
#include "kernel_layout.hpp"
#include "model_parts.hpp"
#include "tercet/artifact/kernel_file.hpp"
#include "tercet/model_io/deferred_tensors.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

// What is multiplied in packed form where there are kernels for it.
bool is_multiplied(const PackedTensor& tensor) {
  const bool table = tensor.role == "embedding" || tensor.role == "head";
  return (table || is_block_matrix(tensor)) && tensor.stored.spec.format->is_grid();
}

std::string kernel_refusal(const PackedTensor& tensor) {
  return PackedMatrix::refusal(tensor.stored.spec, tensor.stored.shape[1]);
}

class KernelsExport : public ExportFormat {
 public:
  std::string name() const override { return "kernels"; }
  std::string place() const override { return KernelFile::kName; }

  std::optional<Refusal> refusal(const PackedModel& model, const ExportSettings&) const override {
    if (model.activation_bits != 8)
      return Refusal{"the kernels take int8 inputs", "quantization.activation_bits: 8 works"};
    if (count(model).held > 0) return std::nullopt;
    for (const PackedTensor& tensor : model.tensors) {
      if (is_multiplied(tensor))
        return Refusal{"no matrix has kernels; '" + tensor.name + "': " + kernel_refusal(tensor), ""};
    }
    return Refusal{"no matrix is quantized", ""};
  }

  std::string choice(const PackedModel& model, const ExportSettings&) const override {
    const auto [held, all] = count(model);
    return std::to_string(held) + " of " + std::to_string(all) + " quantized matrices in the kernels' order, version " +
           std::to_string(kPartsVersion);
  }

  std::uint64_t bytes(const PackedModel& model) const override {
    DeferredTensors deferred;
    return safetensors_bytes(parts(model, deferred), metadata(std::string(64, '0')), kPartAlignment);
  }

  void write(const fs::path& to, const PackedModel& model, const ExportSettings& settings) const override {
    check_exports({name()}, model, settings);
    DeferredTensors deferred;
    write_safetensors(to, parts(model, deferred), metadata(settings.packed_sha256), deferred, kPartAlignment);
  }

 private:
  struct Count {
    std::int64_t held = 0, all = 0;
  };
  static Count count(const PackedModel& model) {
    Count count;
    for (const PackedTensor& tensor : model.tensors) {
      if (!is_multiplied(tensor)) continue;
      ++count.all;
      count.held += kernel_refusal(tensor).empty() ? 1 : 0;
    }
    return count;
  }

  static std::map<std::string, std::string> metadata(const std::string& packed_sha256) {
    return {{kLayoutKey, std::to_string(kPartsVersion)}, {kMadeOfKey, packed_sha256}};
  }

  // Each a multiple of 64 bytes, so that every one begins at such a multiple.
  static NamedTensors parts(const PackedModel& model, DeferredTensors& deferred) {
    NamedTensors tensors;
    for (const PackedTensor& tensor : model.tensors) {
      if (!is_multiplied(tensor) || !kernel_refusal(tensor).empty()) continue;
      const StoredTensor& stored = tensor.stored;
      const auto expected = PackedMatrix::unfilled_parts(stored.spec, stored.shape[0], stored.shape[1]);
      const auto add_table = [&](const char* ending, const at::Tensor& table, at::Tensor PackedParts::*which) {
        tensors.emplace_back(tensor.name + ending,
                             deferred.add({filled_rows(table), table.size(2)}, table.scalar_type(), [&stored, which] {
                               return with_fill(PackedMatrix::tables_of(stored).*which);
                             }));
      };
      tensors.emplace_back(tensor.name + kCodesEnding, deferred.add(expected.codes.sizes().vec(), at::kByte, [&stored] {
        return PackedMatrix(stored).parts().codes;
      }));
      add_table(kScalesEnding, expected.scales, &PackedParts::scales);
      if (expected.zero_points.defined()) add_table(kZeroPointsEnding, expected.zero_points, &PackedParts::zero_points);
    }
    return tensors;
  }
};

}  // namespace

const ExportFormat& kernels_export() {
  static const KernelsExport format;
  return format;
}

}  // namespace tercet
