#include "text/token_file.hpp"
#include "target.hpp"
#include "tercet/base/error.hpp"
#include "tercet/text/dataset.hpp"

namespace tercet::fuzz {
namespace {

std::string token_file(std::uint32_t width) {
  const auto file = scratch() / "seed.tokens";
  text::TokenFileWriter writer(scratch() / "staged.tokens", width);
  const std::vector<std::int32_t> ids = {1, 2, 3, 40000, 5};
  writer.append(text::pack_ids(ids, width));
  writer.publish(file, std::string(64, 'a'), 2);
  return content_of(file);
}

std::vector<std::string> seeds() {
  return {token_file(2), token_file(4)};
}

void read(std::string_view input) {
  const TokenFile file(scratch_file("input.tokens", input));
  (void)file.intact();
  (void)file.ids_below(50000);
  std::vector<std::int64_t> ids(std::min<std::uint64_t>(file.size(), 16));
  file.read(file.size() - ids.size(), ids);
  try {
    file.read(file.size(), ids);  // past the end unless it is empty
  } catch (const DataError&) {    // as it should
  }
}

const Registration kTarget({"token_file", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
