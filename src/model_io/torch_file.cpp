#include "tercet/model_io/torch_file.hpp"

#include "pickle_reader.hpp"
#include "tercet/base/error.hpp"
#include "torch_archive.hpp"

namespace tercet {

TorchValue read_torch_file(const std::filesystem::path& file) {
  TorchArchive archive(file);
  const std::string pickle = archive.pickle();
  PickleReader reader(pickle, archive.where(),
                      [&archive](const std::string& key, c10::ScalarType type, std::int64_t elements) {
                        return archive.storage(key, type, elements);
                      });
  return reader.read();
}

void check_torch_file(const std::filesystem::path& file) {
  TorchArchive(file).check_sums();
}

const TorchValue& torch_entry(const TorchDict& dict, const std::string& key, const std::string& where) {
  for (const auto& [name, value] : dict) {
    if (name == key) return value;
  }
  throw DataError("'" + where + "' has no entry '" + key + "'", "the dict does not hold it");
}

}  // namespace tercet
