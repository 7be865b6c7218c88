#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>

#include <array>
#include <functional>
#include <optional>
#include <utility>

#include "pickle_writer.hpp"
#include "tercet/base/error.hpp"
#include "tercet/model_io/staged_file.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

using caffe2::serialize::PyTorchStreamWriter;

// The zip writer below calls us through C code and finishes the archive in its destructor: nothing may be thrown
// there. The first failure is kept, the rest of the bytes are dropped, and the caller learns of it afterwards.
class Sink {
 public:
  explicit Sink(StagedFile& file) : file_(file) {}
  std::size_t write(const void* data, std::size_t size) {
    if (failure_) return size;
    try {
      file_.write(data, size);
    } catch (const StoreError& error) {
      failure_ = error;
    }
    return size;
  }
  void check() const {
    if (failure_) throw *failure_;
  }

 private:
  StagedFile& file_;
  std::optional<StoreError> failure_;
};

using ZipOutput = std::function<std::size_t(const void* data, std::size_t size)>;
using StorageContent = std::function<PickleWriter::Storage(const PickleWriter::Storage& storage)>;

void write_records(const ZipOutput& output, const PickleWriter& pickle, const StorageContent& content_of) {
  PyTorchStreamWriter zip(output);
  zip.writeRecord("data.pkl", pickle.pickle().data(), pickle.pickle().size());
  zip.writeRecord("byteorder", "little", 6);
  for (std::size_t i = 0; i < pickle.storages().size(); ++i) {
    const PickleWriter::Storage content = content_of(pickle.storages()[i]);
    zip.writeRecord("data/" + std::to_string(i), content.data, content.bytes);
  }
  zip.writeEndOfFile();
}

PickleWriter::Storage content_of(const PickleWriter::Storage& storage, const DeferredTensors& deferred) {
  if (!storage.keep.is_meta()) return storage;
  const at::Tensor made = deferred.values(storage.keep);
  return {made, made.const_data_ptr(), storage.bytes};
}

}  // namespace

void write_torch_file(const std::filesystem::path& file, const TorchValue& value, const DeferredTensors& deferred) {
  const PickleWriter pickle(value);
  StagedFile staged(file);
  Sink sink(staged);
  try {
    write_records([&sink](const void* data, std::size_t size) { return sink.write(data, size); }, pickle,
                  [&deferred](const PickleWriter::Storage& storage) { return content_of(storage, deferred); });
  } catch (const c10::Error& error) {
    throw StoreError("cannot write '" + file.string() + "'", error.what_without_backtrace());
  }
  sink.check();
  staged.publish();
}

// The same archive with short records: records begin at multiples of 64 bytes, so taking a multiple of 64 out of one
// moves all that follows and changes nothing else.
std::uint64_t torch_file_bytes(const TorchValue& value) {
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::array<char, 2 * kAlignment> kZeros{};
  const PickleWriter pickle(value);
  std::uint64_t written = 0, left_out = 0;
  write_records(
      [&written](const void*, std::size_t size) {
        written += size;
        return size;
      },
      pickle,
      [&left_out](const PickleWriter::Storage& storage) {
        const std::size_t kept =
            storage.bytes < kZeros.size() ? storage.bytes : kAlignment + storage.bytes % kAlignment;
        left_out += storage.bytes - kept;
        return PickleWriter::Storage{storage.keep, kZeros.data(), kept};
      });
  return written + left_out;
}

}  // namespace tercet
