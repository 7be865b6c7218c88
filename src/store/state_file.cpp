#include "store/state_file.hpp"

#include <ATen/ops/empty.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <span>

#include "store/hdf5.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/comm/mpi_handle.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

const std::string kGroup = "tensors";

hid_t file_type(at::ScalarType dtype) {
  return dtype == at::kFloat ? H5T_IEEE_F32LE : dtype == at::kDouble ? H5T_IEEE_F64LE : H5T_STD_I64LE;
}

hid_t memory_type(at::ScalarType dtype) {
  return dtype == at::kFloat ? H5T_NATIVE_FLOAT : dtype == at::kDouble ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64;
}

std::string dataset_path(const std::string& name) {
  return kGroup + "/" + escape_name(name);
}

Handle one_dimension(std::int64_t count, const std::string& what) {
  const auto extent = static_cast<hsize_t>(count);
  return own(H5Screate_simple(1, &extent, nullptr), H5Sclose, what);
}

void write_shape(hid_t dataset, at::IntArrayRef shape, const std::string& what) {
  const Handle space = one_dimension(static_cast<std::int64_t>(shape.size()), what);
  const Handle attribute =
      own(H5Acreate2(dataset, "shape", H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, what);
  if (!shape.empty()) check_hdf5(H5Awrite(attribute.get(), H5T_NATIVE_INT64, shape.data()), what);
}

void create_dataset(hid_t file, const std::string& name, const at::Tensor& tensor) {
  const std::string what = "cannot make dataset '" + name + "'";
  const Handle creation = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, what);
  check_hdf5(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), what);
  check_hdf5(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), what);
  check_hdf5(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), what);
  check_hdf5(H5Pset_obj_track_times(creation.get(), false), what);  // the same state makes the same bytes
  const Handle space = one_dimension(tensor.numel(), what);
  const Handle dataset = own(H5Dcreate2(file, dataset_path(name).c_str(), file_type(tensor.scalar_type()), space.get(),
                                        intermediate_groups().get(), creation.get(), H5P_DEFAULT),
                             H5Dclose, what);
  write_shape(dataset.get(), tensor.sizes(), what);
}

// Blocks for the whole file, so that later writes cannot run out of space. File systems without the call are left to
// find out later.
std::uint64_t reserve_space(const fs::path& path) {
  const std::uint64_t size = fs::file_size(path);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool reserved = fd >= 0 && ::fallocate(fd, 0, 0, static_cast<off_t>(size)) == 0;
  const int cause = errno;
  if (fd >= 0) ::close(fd);
  if (!reserved && cause != EOPNOTSUPP && cause != ENOSYS) {
    throw StoreError("cannot reserve space for '" + path.string() + "'", std::strerror(cause), "free some space");
  }
  return size;
}

Handle open_for_shares(Communicator& comm, const fs::path& path) {
  if (comm.size() == 1) return open_file(path, true);
  const std::string what = "cannot open '" + path.string() + "' for parallel writing";
  const Handle access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, what);
  check_hdf5(H5Pset_fapl_mpio(access.get(), mpi_handle(comm), MPI_INFO_NULL), what);
  check_hdf5(H5Pset_all_coll_metadata_ops(access.get(), true), what);
  return own(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()), H5Fclose, what);
}

Handle transfer_list(const Communicator& comm) {
  const std::string what = "cannot make a transfer list";
  Handle list = own(H5Pcreate(H5P_DATASET_XFER), H5Pclose, what);
  if (comm.size() > 1) check_hdf5(H5Pset_dxpl_mpio(list.get(), H5FD_MPIO_COLLECTIVE), what);
  return list;
}

std::span<const std::byte> bytes_of(const at::Tensor& tensor, std::int64_t offset, std::int64_t count) {
  const std::size_t width = tensor.element_size();
  return {static_cast<const std::byte*>(tensor.const_data_ptr()) + static_cast<std::size_t>(offset) * width,
          static_cast<std::size_t>(count) * width};
}

// Keeps the first error and goes on: a rank that left the sequence of collective calls would hang the others.
class FirstError {
 public:
  void attempt(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      if (text_.empty()) text_ = error.what();
    }
  }
  void raise() const {
    if (!text_.empty()) throw StoreError(text_);
  }

 private:
  std::string text_;
};

// Every rank makes the same number of calls: as many as the largest share (rank 0's) needs.
void write_share(const Communicator& comm, hid_t file, hid_t transfer, const std::string& name,
                 const at::Tensor& tensor, std::int64_t slab_bytes, FirstError& errors) {
  const std::string what = "cannot write tensor '" + name + "'";
  const std::int64_t slab = std::max<std::int64_t>(1, slab_bytes / static_cast<std::int64_t>(tensor.element_size()));
  const Slice share = share_of(tensor.numel(), comm.rank(), comm.size());
  const std::int64_t largest = share_of(tensor.numel(), 0, comm.size()).count;
  Handle dataset;
  errors.attempt([&] { dataset = own(H5Dopen2(file, dataset_path(name).c_str(), H5P_DEFAULT), H5Dclose, what); });
  for (std::int64_t done = 0; done < largest; done += slab) {
    errors.attempt([&] {
      const hsize_t count = static_cast<hsize_t>(std::clamp<std::int64_t>(share.count - done, 0, slab));
      const hsize_t offset = static_cast<hsize_t>(share.offset + std::min(done, share.count));
      const Handle source = one_dimension(std::max<std::int64_t>(1, static_cast<std::int64_t>(count)), what);
      const Handle target = own(H5Dget_space(dataset.get()), H5Sclose, what);
      if (count == 0) {
        check_hdf5(H5Sselect_none(source.get()), what);
        check_hdf5(H5Sselect_none(target.get()), what);
      } else {
        check_hdf5(H5Sselect_hyperslab(target.get(), H5S_SELECT_SET, &offset, nullptr, &count, nullptr), what);
      }
      const auto bytes = bytes_of(tensor, static_cast<std::int64_t>(offset), static_cast<std::int64_t>(count));
      check_hdf5(H5Dwrite(dataset.get(), memory_type(tensor.scalar_type()), source.get(), target.get(), transfer,
                          bytes.data()),
                 what);
    });
  }
}

// The dataset must be what the manifest says before anything is read into memory of that size.
void require_match(hid_t dataset, const TensorEntry& entry, const std::string& what) {
  const Handle type = own(H5Dget_type(dataset), H5Tclose, what);
  if (H5Tequal(type.get(), file_type(dtype_of(entry.dtype))) <= 0) throw StoreError(what, "it is not " + entry.dtype);
  const Handle space = own(H5Dget_space(dataset), H5Sclose, what);
  if (H5Sget_simple_extent_npoints(space.get()) != entry.element_count()) {
    throw StoreError(what, "it has another number of elements than the manifest says");
  }
}

at::Tensor read_tensor(hid_t file, const TensorEntry& entry) {
  const std::string what = "cannot use tensor '" + entry.name + "'";
  const Handle dataset = own(H5Dopen2(file, dataset_path(entry.name).c_str(), H5P_DEFAULT), H5Dclose, what);
  require_match(dataset.get(), entry, what);
  const at::ScalarType dtype = dtype_of(entry.dtype);
  at::Tensor tensor = at::empty(entry.shape, at::TensorOptions(dtype));
  if (tensor.numel() > 0) {
    check_hdf5(H5Dread(dataset.get(), memory_type(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.data_ptr()), what);
  }
  for (const Slice& slice : entry.slices) {
    if (sha256_hex(bytes_of(tensor, slice.offset, slice.count)) != slice.sha256) {
      throw StoreError(what, "elements " + std::to_string(slice.offset) + " to " +
                                 std::to_string(slice.offset + slice.count) + " differ from what was written");
    }
  }
  return tensor;
}

}  // namespace

std::uint64_t create_state_file(const fs::path& path, const StateTensors& tensors) {
  const Hdf5Session session;
  Handle file = create_file(path);
  write_text_attribute(file.get(), "format", "tercet-checkpoint");
  write_integer_attribute(file.get(), "version", 1);
  for (const auto& [name, tensor] : tensors) create_dataset(file.get(), name, tensor);
  close_checked(file, "cannot write '" + path.string() + "'");
  return reserve_space(path);
}

std::vector<std::string> write_shares(Communicator& comm, const fs::path& path, const StateTensors& tensors,
                                      std::int64_t slab_bytes) {
  std::vector<std::string> hashes;
  for (const auto& [name, tensor] : tensors) {
    const Slice share = share_of(tensor.numel(), comm.rank(), comm.size());
    hashes.push_back(sha256_hex(bytes_of(tensor, share.offset, share.count)));
  }
  const Hdf5Session session;
  Handle file = open_for_shares(comm, path);
  const Handle transfer = transfer_list(comm);
  FirstError errors;
  for (const auto& [name, tensor] : tensors) {
    write_share(comm, file.get(), transfer.get(), name, tensor, slab_bytes, errors);
  }
  errors.attempt([&] { close_checked(file, "cannot write '" + path.string() + "'"); });
  errors.attempt([&] { sync_path(path); });
  errors.raise();
  return hashes;
}

StateTensors read_state_file(const fs::path& path, const Manifest& manifest) {
  std::error_code error;
  if (fs::file_size(path, error) != manifest.state_bytes || error) {
    throw StoreError("cannot use '" + path.string() + "'",
                     "it is missing or has another size than when it was written");
  }
  const Hdf5Session session;
  const Handle file = open_file(path, false);
  StateTensors tensors;
  for (const TensorEntry& entry : manifest.tensors) tensors.emplace_back(entry.name, read_tensor(file.get(), entry));
  return tensors;
}

}  // namespace tercet::store
