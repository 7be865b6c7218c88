// The one door to HDF5: handles that close themselves and a check that turns HDF5's error stack into a StoreError.
// Debian's HDF5 is not thread-safe, so everything between an Hdf5Session's begin and end has the library to itself.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace tercet::store {

// Holds the process-wide lock around HDF5. Sessions nest.
class Hdf5Session {
 public:
  Hdf5Session();
  // Does not wait for another thread's session: has_library() says whether it got the lock.
  explicit Hdf5Session(std::try_to_lock_t);
  bool has_library() const { return lock_.owns_lock(); }

  // In a process forked by a thread that had a session, and so while HDF5 was at rest: the lock, which belongs to a
  // thread that is not in this process, is free again.
  static void begin_anew_in_child();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

// An HDF5 id with the function that closes it. Invalid (closed or moved from) is H5I_INVALID_HID.
class Handle {
 public:
  using Closer = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Closer closer) : id_(id), closer_(closer) {}
  ~Handle() { close(); }
  Handle(Handle&& other) noexcept { swap(other); }
  Handle& operator=(Handle&& other) noexcept {
    swap(other);
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  hid_t get() const { return id_; }
  herr_t close();  // negative when HDF5 could not; the handle is invalid afterwards

 private:
  void swap(Handle& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(closer_, other.closer_);
  }
  hid_t id_ = H5I_INVALID_HID;
  Closer closer_ = nullptr;
};

// Throws StoreError "<what> (<HDF5's error stack>)" when `status` is negative; else gives it back.
hid_t check_hdf5(hid_t status, const std::string& what);
// The same for a fresh id, owned from here on.
Handle own(hid_t id, Handle::Closer closer, const std::string& what);
void close_checked(Handle& handle, const std::string& what);

// Files, without HDF5's file lock: a reader may look at a run under way, and network file systems often have no locks.
// Replaces a file that exists. Datasets begin at multiples of `alignment` bytes.
Handle create_file(const std::filesystem::path& path, std::uint64_t alignment = 1);
Handle open_file(const std::filesystem::path& path, bool writable);

Handle text_type();                                      // UTF-8 of any length
Handle intermediate_groups();                            // link creation list that makes missing groups
bool has_link(hid_t location, const std::string& path);  // every part of the path exists
// Opened without following a link out of the file or in a circle; the data of a dataset lie in this file, unpacked.
Handle open_dataset(hid_t location, const std::string& path, const std::string& what);
Handle open_group(hid_t location, const std::string& path, const std::string& what);
// Elements of a dataset. Throws StoreError if the file has no room for as many of `width` bytes: memory for them would
// be asked for on the word of a few bytes.
std::uint64_t stored_count(hid_t dataset, std::size_t width, const std::string& what);
std::vector<std::string> child_names(hid_t group);  // sorted; throws StoreError for a link to somewhere else
std::string escape_name(const std::string& name);   // '/' and '%' as %2F and %25: any text is one name
std::string unescape_name(const std::string& name);

void write_text_attribute(hid_t object, const std::string& name, const std::string& value);
std::string read_text_attribute(hid_t object, const std::string& name);
void write_integer_attribute(hid_t object, const std::string& name, std::int64_t value);
std::int64_t read_integer_attribute(hid_t object, const std::string& name);

// A scalar dataset of text; an existing one gets the new value.
void write_text(hid_t location, const std::string& path, const std::string& value);
std::string read_text(hid_t location, const std::string& path);

}  // namespace tercet::store
