#include "tercet/train/spill.hpp"

#include <string>

#include "tercet/base/file.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet {
namespace {

void write_spill(const std::filesystem::path& file, const std::vector<at::Tensor>& tensors) {
  NamedTensors named;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].defined()) named.emplace_back(std::to_string(i), tensors[i].detach());
  }
  make_folder(file.parent_path());
  write_safetensors(file, named);
}

std::vector<at::Tensor> map_spill(const std::filesystem::path& file, const std::vector<at::Tensor>& tensors) {
  const std::unique_ptr<WeightSource> source = open_safetensors(file);
  std::vector<at::Tensor> views;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    views.push_back(tensors[i].defined() ? source->tensor(std::to_string(i)) : at::Tensor());
  }
  return views;
}

}  // namespace

std::vector<at::Tensor> spilled(const std::filesystem::path& file, const std::vector<at::Tensor>& tensors) {
  write_spill(file, tensors);
  return map_spill(file, tensors);
}

std::vector<at::Tensor> spilled(Communicator& comm, const std::filesystem::path& file,
                                const std::vector<at::Tensor>& tensors) {
  on_root(comm, [&] {
    write_spill(file, tensors);
    return std::string();
  });
  std::vector<at::Tensor> views;
  on_every_rank(comm, [&] { views = map_spill(file, tensors); });
  return views;
}

}  // namespace tercet
