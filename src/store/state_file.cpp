#include "store/state_file.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "store/hdf5.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

const std::string kGroup = "tensors";
constexpr std::uint64_t kAlignment = 8;  // of the widest elements: they are used where they lie

hid_t file_type(at::ScalarType dtype) {
  return dtype == at::kFloat ? H5T_IEEE_F32LE : dtype == at::kDouble ? H5T_IEEE_F64LE : H5T_STD_I64LE;
}

std::string dataset_path(const std::string& name) {
  return kGroup + "/" + escape_name(name);
}

Handle one_dimension(std::int64_t count, const std::string& what) {
  const auto extent = static_cast<hsize_t>(count);
  return own(H5Screate_simple(1, &extent, nullptr), H5Sclose, what);
}

void write_shape(hid_t dataset, const std::vector<std::int64_t>& shape, const std::string& what) {
  const Handle space = one_dimension(static_cast<std::int64_t>(shape.size()), what);
  const Handle attribute =
      own(H5Acreate2(dataset, "shape", H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, what);
  if (!shape.empty()) check_hdf5(H5Awrite(attribute.get(), H5T_NATIVE_INT64, shape.data()), what);
}

std::uint64_t create_dataset(hid_t file, const TensorEntry& tensor) {
  const std::string what = "cannot make dataset '" + tensor.name + "'";
  const Handle creation = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, what);
  check_hdf5(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), what);
  check_hdf5(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), what);
  check_hdf5(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), what);
  check_hdf5(H5Pset_obj_track_times(creation.get(), false), what);  // the same state makes the same bytes
  const Handle space = one_dimension(tensor.element_count(), what);
  const Handle dataset = own(H5Dcreate2(file, dataset_path(tensor.name).c_str(), file_type(dtype_of(tensor.dtype)),
                                        space.get(), intermediate_groups().get(), creation.get(), H5P_DEFAULT),
                             H5Dclose, what);
  write_shape(dataset.get(), tensor.shape, what);
  if (tensor.element_count() == 0) return 0;
  const haddr_t position = H5Dget_offset(dataset.get());
  if (position == HADDR_UNDEF) throw StoreError(what, "HDF5 does not say where its elements lie");
  return position;
}

// Blocks for the whole file, so that later writes cannot run out of space. File systems without the call are left to
// find out later.
std::uint64_t reserve_space(const fs::path& path) {
  const std::uint64_t size = fs::file_size(path);
  const Descriptor file(path, O_WRONLY);
  const bool reserved = file.valid() && ::fallocate(file.get(), 0, 0, static_cast<off_t>(size)) == 0;
  if (!reserved && errno != EOPNOTSUPP && errno != ENOSYS) {
    throw StoreError("cannot reserve space for '" + path.string() + "'", std::strerror(errno), "free some space");
  }
  return size;
}

}  // namespace

Places create_state_file(const fs::path& path, const std::vector<TensorEntry>& tensors) {
  const Hdf5Session session;
  Places places;
  Handle file = create_file(path, kAlignment);
  write_text_attribute(file.get(), "format", "tercet-checkpoint");
  write_integer_attribute(file.get(), "version", 1);
  for (const TensorEntry& tensor : tensors) places.positions.push_back(create_dataset(file.get(), tensor));
  close_checked(file, "cannot write '" + path.string() + "'");
  places.file_bytes = reserve_space(path);
  return places;
}

}  // namespace tercet::store
