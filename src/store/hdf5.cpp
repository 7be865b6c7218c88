#include "store/hdf5.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>

#include "tercet/base/error.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

std::unique_ptr<std::recursive_mutex>& hdf5_lock() {
  static auto mutex = std::make_unique<std::recursive_mutex>();
  return mutex;
}

std::recursive_mutex& hdf5_mutex() {
  return *hdf5_lock();
}

// HDF5 tidies up at exit, and also inside MPI_Finalize if MPI runs when HDF5 is first used. After a failed write (a
// full disk) that crashes on the file it could not close, and the exit code of the job would be lost. So HDF5 is
// started before main, hence before MPI, and told not to tidy up: all that matters is flushed and closed by its owners.
//
// Files of strangers are read too: no plugin is loaded because a file names a filter or because an environment variable
// names a folder of them, and no link leads into another file.
bool start() {
  return H5dont_atexit() >= 0 && H5open() >= 0 && H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0 &&
         H5PLset_loading_state(0) >= 0 && H5Lunregister(H5L_TYPE_EXTERNAL) >= 0;
}
const bool kStarted = start();

void require_started() {
  if (!kStarted) throw StoreError("HDF5 could not be started");
}

herr_t collect(unsigned, const H5E_error2_t* entry, void* data) {
  auto& lines = *static_cast<std::vector<std::string>*>(data);
  if (entry->desc != nullptr && entry->desc[0] != '\0') lines.emplace_back(entry->desc);
  return 0;
}

// From the call that failed inwards; the innermost entry names the cause (often with errno).
std::string error_stack_text() {
  std::vector<std::string> lines;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &lines);
  if (lines.empty()) return "HDF5 gave no reason";
  std::string text = "HDF5: ";
  for (std::size_t i = 0; i < lines.size(); ++i) text += (i == 0 ? "" : ": ") + lines[i];
  return text;
}

Handle access_list(const std::string& what) {
  Handle list = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, what);
  check_hdf5(H5Pset_file_locking(list.get(), false, true), what);
  check_hdf5(H5Pset_fclose_degree(list.get(), H5F_CLOSE_STRONG), what);
  return list;
}

// The scalar attribute `name`, made anew.
Handle fresh_attribute(hid_t object, const std::string& name, hid_t type) {
  const std::string what = "cannot write attribute '" + name + "'";
  if (check_hdf5(H5Aexists(object, name.c_str()), what) > 0) check_hdf5(H5Adelete(object, name.c_str()), what);
  const Handle space = own(H5Screate(H5S_SCALAR), H5Sclose, what);
  return own(H5Acreate2(object, name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, what);
}

Handle open_attribute(hid_t object, const std::string& name) {
  return own(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, "cannot read attribute '" + name + "'");
}

// What is read into a variable must be a single value.
void require_scalar(hid_t attribute, const std::string& what) {
  const Handle space = own(H5Aget_space(attribute), H5Sclose, what);
  if (H5Sget_simple_extent_npoints(space.get()) != 1) throw StoreError(what, "it is not a single value");
}

// Every link on the way is a hard one: a soft link could lead in a circle, an external one out of the file.
void require_hard_links(hid_t location, const std::string& path, const std::string& what) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    H5L_info_t info;
    check_hdf5(H5Lget_info(location, path.substr(0, end).c_str(), &info, H5P_DEFAULT), what);
    if (info.type != H5L_TYPE_HARD) throw StoreError(what, "it is a link to somewhere else");
    if (end == std::string::npos) return;
  }
}

// Plain data in this file: no other file, no other dataset, nothing to be unpacked.
void require_plain(hid_t dataset, const std::string& what) {
  const Handle creation = own(H5Dget_create_plist(dataset), H5Pclose, what);
  if (check_hdf5(H5Pget_layout(creation.get()), what) == H5D_VIRTUAL || H5Pget_external_count(creation.get()) != 0) {
    throw StoreError(what, "its data lie somewhere else");
  }
  if (H5Pget_nfilters(creation.get()) != 0) throw StoreError(what, "its data are compressed");
}

// Takes over text that HDF5 allocated.
std::string adopt(char* text) {
  std::string copy = text == nullptr ? "" : text;
  if (text != nullptr) H5free_memory(text);
  return copy;
}

// Reading text into a char* is only sound when what the file holds is text of any length.
void require_text(hid_t type, const std::string& what) {
  if (H5Tis_variable_str(type) <= 0) throw StoreError(what, "it is not text of variable length");
}

}  // namespace

Hdf5Session::Hdf5Session() : lock_(hdf5_mutex()) {
  require_started();
}

Hdf5Session::Hdf5Session(std::try_to_lock_t) : lock_(hdf5_mutex(), std::try_to_lock) {
  require_started();
}

void Hdf5Session::begin_anew_in_child() {
  (void)hdf5_lock().release();  // locked for good
  hdf5_lock() = std::make_unique<std::recursive_mutex>();
}

herr_t Handle::close() {
  if (id_ < 0) return 0;
  const Hdf5Session session;
  return closer_(std::exchange(id_, H5I_INVALID_HID));
}

hid_t check_hdf5(hid_t status, const std::string& what) {
  if (status < 0) throw StoreError(what, error_stack_text());
  return status;
}

Handle own(hid_t id, Handle::Closer closer, const std::string& what) {
  return Handle(check_hdf5(id, what), closer);
}

void close_checked(Handle& handle, const std::string& what) {
  check_hdf5(handle.close(), what);
}

Handle create_file(const fs::path& path, std::uint64_t alignment) {
  const std::string what = "cannot create '" + path.string() + "'";
  const Handle access = access_list(what);
  check_hdf5(H5Pset_alignment(access.get(), 0, alignment), what);
  return own(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose, what);
}

Handle open_file(const fs::path& path, bool writable) {
  const std::string what = "cannot open '" + path.string() + "'";
  return own(H5Fopen(path.c_str(), writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access_list(what).get()), H5Fclose, what);
}

Handle text_type() {
  const std::string what = "cannot make a text type";
  Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, what);
  check_hdf5(H5Tset_size(type.get(), H5T_VARIABLE), what);
  check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), what);
  return type;
}

Handle intermediate_groups() {
  const std::string what = "cannot make a link creation list";
  Handle list = own(H5Pcreate(H5P_LINK_CREATE), H5Pclose, what);
  check_hdf5(H5Pset_create_intermediate_group(list.get(), 1), what);
  return list;
}

bool has_link(hid_t location, const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (check_hdf5(H5Lexists(location, part.c_str(), H5P_DEFAULT), "cannot look up '" + part + "'") == 0) return false;
    if (end == std::string::npos) return true;
  }
}

Handle open_dataset(hid_t location, const std::string& path, const std::string& what) {
  require_hard_links(location, path, what);
  Handle dataset = own(H5Dopen2(location, path.c_str(), H5P_DEFAULT), H5Dclose, what);
  require_plain(dataset.get(), what);
  return dataset;
}

Handle open_group(hid_t location, const std::string& path, const std::string& what) {
  require_hard_links(location, path, what);
  return own(H5Gopen2(location, path.c_str(), H5P_DEFAULT), H5Gclose, what);
}

std::uint64_t stored_count(hid_t dataset, std::size_t width, const std::string& what) {
  const Handle space = own(H5Dget_space(dataset), H5Sclose, what);
  const auto count = static_cast<std::uint64_t>(check_hdf5(H5Sget_simple_extent_npoints(space.get()), what));
  const Handle file = own(H5Iget_file_id(dataset), H5Fclose, what);
  hsize_t bytes = 0;
  check_hdf5(H5Fget_filesize(file.get(), &bytes), what);
  if (count > bytes / width) throw StoreError(what, "it has more elements than its file has room for");
  return count;
}

std::vector<std::string> child_names(hid_t group) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t* info, void* data) -> herr_t {
    static_cast<std::vector<std::string>*>(data)->emplace_back(name);
    return info->type == H5L_TYPE_HARD ? 0 : 1;
  };
  if (check_hdf5(H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add, &names), "cannot list a group") != 0) {
    throw StoreError("cannot open '" + names.back() + "'", "it is a link to somewhere else");
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string escape_name(const std::string& name) {
  std::string escaped;
  for (char c : name) {
    if (c == '/')
      escaped += "%2F";
    else if (c == '%')
      escaped += "%25";
    else
      escaped += c;
  }
  return escaped == "." ? "%2E" : escaped;  // "." is the group itself
}

std::string unescape_name(const std::string& name) {
  std::string plain;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const std::string code = name.substr(i, 3);
    const char meant = code == "%2F" ? '/' : code == "%25" ? '%' : code == "%2E" ? '.' : '\0';
    plain += meant == '\0' ? name[i] : meant;
    if (meant != '\0') i += 2;
  }
  return plain;
}

void write_text_attribute(hid_t object, const std::string& name, const std::string& value) {
  const Handle type = text_type();
  const Handle attribute = fresh_attribute(object, name, type.get());
  const char* text = value.c_str();
  check_hdf5(H5Awrite(attribute.get(), type.get(), &text), "cannot write attribute '" + name + "'");
}

std::string read_text_attribute(hid_t object, const std::string& name) {
  const std::string what = "cannot read attribute '" + name + "'";
  const Handle attribute = open_attribute(object, name);
  require_text(own(H5Aget_type(attribute.get()), H5Tclose, what).get(), what);
  require_scalar(attribute.get(), what);
  char* text = nullptr;
  check_hdf5(H5Aread(attribute.get(), text_type().get(), &text), what);
  return adopt(text);
}

void write_integer_attribute(hid_t object, const std::string& name, std::int64_t value) {
  const Handle attribute = fresh_attribute(object, name, H5T_STD_I64LE);
  check_hdf5(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), "cannot write attribute '" + name + "'");
}

std::int64_t read_integer_attribute(hid_t object, const std::string& name) {
  const std::string what = "cannot read attribute '" + name + "'";
  const Handle attribute = open_attribute(object, name);
  require_scalar(attribute.get(), what);
  std::int64_t value = 0;
  check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), what);
  return value;
}

void write_text(hid_t location, const std::string& path, const std::string& value) {
  const std::string what = "cannot write '" + path + "'";
  const Handle type = text_type();
  Handle dataset;
  if (has_link(location, path)) {
    dataset = open_dataset(location, path, what);
  } else {
    const Handle space = own(H5Screate(H5S_SCALAR), H5Sclose, what);
    dataset = own(H5Dcreate2(location, path.c_str(), type.get(), space.get(), intermediate_groups().get(), H5P_DEFAULT,
                             H5P_DEFAULT),
                  H5Dclose, what);
  }
  const char* text = value.c_str();
  check_hdf5(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &text), what);
}

std::string read_text(hid_t location, const std::string& path) {
  const std::string what = "cannot read '" + path + "'";
  const Handle dataset = open_dataset(location, path, what);
  require_text(own(H5Dget_type(dataset.get()), H5Tclose, what).get(), what);
  const Handle space = own(H5Dget_space(dataset.get()), H5Sclose, what);
  if (H5Sget_simple_extent_npoints(space.get()) != 1) throw StoreError(what, "it is not a single text");
  char* text = nullptr;
  check_hdf5(H5Dread(dataset.get(), text_type().get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &text), what);
  return adopt(text);
}

}  // namespace tercet::store
