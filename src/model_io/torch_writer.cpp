#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>

#include <optional>

#include "pickle_writer.hpp"
#include "staged_file.hpp"
#include "tercet/base/error.hpp"
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

void write_records(Sink& sink, const PickleWriter& pickle, const DeferredTensors& deferred) {
  PyTorchStreamWriter zip([&sink](const void* data, std::size_t size) { return sink.write(data, size); });
  zip.writeRecord("data.pkl", pickle.pickle().data(), pickle.pickle().size());
  zip.writeRecord("byteorder", "little", 6);
  for (std::size_t i = 0; i < pickle.storages().size(); ++i) {
    const auto& storage = pickle.storages()[i];
    const at::Tensor made = storage.keep.is_meta() ? deferred.values(storage.keep) : at::Tensor();
    zip.writeRecord("data/" + std::to_string(i), made.defined() ? made.const_data_ptr() : storage.data, storage.bytes);
  }
  zip.writeEndOfFile();
}

}  // namespace

void write_torch_file(const std::filesystem::path& file, const TorchValue& value, const DeferredTensors& deferred) {
  const PickleWriter pickle(value);
  StagedFile staged(file);
  Sink sink(staged);
  try {
    write_records(sink, pickle, deferred);
  } catch (const c10::Error& error) {
    throw StoreError("cannot write '" + file.string() + "'", error.what_without_backtrace());
  }
  sink.check();
  staged.publish();
}

}  // namespace tercet
