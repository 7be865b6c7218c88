// PyTorch files made to ask for more memory than they have bytes.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <zlib.h>

#include "model_io/pickle_reader.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

using namespace std::string_literals;

TorchValue read_pickle(const std::string& pickle) {
  const auto storage = [](const std::string&, c10::ScalarType type, std::int64_t elements) {
    return at::arange(elements, at::TensorOptions(type));
  };
  return PickleReader(pickle, "data.pkl", storage).read();
}

std::string unicode_op(const std::string& content) {
  std::string size(4, '\0');
  for (std::size_t i = 0; i < 4; ++i) size[i] = static_cast<char>(content.size() >> (8 * i));
  return "X" + size + content;
}

// A float tensor over a storage of `elements` (below 256), of shape [2^30] and stride 0.
std::string expanded_tensor(char elements) {
  return "\x80\x02"s + "ctorch._utils\n_rebuild_tensor_v2\n((" + unicode_op("storage") + "ctorch\nFloatStorage\n" +
         unicode_op("0") + unicode_op("cpu") + "K" + elements + "tQK\x00"s + "J\x00\x00\x00\x40\x85"s + "K\x00\x85"s +
         "\x89}tR.";
}

TEST(Pickle, WithATensorThatRepeatsItsStorageIsRefused) {
  EXPECT_MENTIONS(test::message_of<DataError>([] { read_pickle(expanded_tensor(1)); }), "repeats the elements");
}

TEST(Pickle, WithOneTextAThousandTimesIsRefused) {
  std::string pickle = "\x80\x02](" + unicode_op(std::string(1 << 20, 'x')) + "q\x01";
  for (int i = 0; i < 1000; ++i) pickle += "h\x01";
  EXPECT_MENTIONS(test::message_of<DataError>([&] { read_pickle(pickle + "e."); }), "unfolds");
}

TEST(Pickle, WithAnEndlessNameIsRefused) {
  const std::string pickle = "\x80\x04" + unicode_op(std::string(5000, 'x')) + unicode_op("y") + "\x93.";
  EXPECT_MENTIONS(test::message_of<DataError>([&] { read_pickle(pickle); }), "name has no end");
}

TEST(Pickle, WithATextThatIsNotUtf8IsRefused) {
  EXPECT_MENTIONS(test::message_of<DataError>([] { read_pickle("\x80\x02" + unicode_op("\xed\xa0\x80") + "."); }),
                  "not UTF-8");
}

TEST(Pickle, WithAnEndlessMemoIsRefused) {
  std::string pickle = "\x80\x02N";
  for (std::uint32_t i = 0; i <= 4'000'000; ++i) {
    pickle += 'r';
    for (int byte = 0; byte < 4; ++byte) pickle += static_cast<char>(i >> (8 * byte));
  }
  EXPECT_MENTIONS(test::message_of<DataError>([&] { read_pickle(pickle + "."); }), "remembers more");
}

// A zip archive of deflated entries, written by hand: PyTorch and our writer only store.
class Zip {
 public:
  void add(const std::string& name, const std::string& content) {
    std::string packed(compressBound(content.size()), '\0');
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
    stream.avail_in = static_cast<uInt>(content.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    const auto crc = static_cast<std::uint32_t>(
        crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
    const std::string common = number(20, 2) + number(0, 2) + number(8, 2) + number(0, 4) + number(crc, 4) +
                               number(packed.size(), 4) + number(content.size(), 4) + number(name.size(), 2) +
                               number(0, 2);
    directory_ += "PK\x01\x02" + number(20, 2) + common + number(0, 2) + number(0, 2) + number(0, 2) + number(0, 4) +
                  number(bytes_.size(), 4) + name;
    bytes_ += "PK\x03\x04" + common + name + packed;
    ++entries_;
  }
  std::string bytes() const {
    return bytes_ + directory_ + "PK\x05\x06" + number(0, 4) + number(entries_, 2) + number(entries_, 2) +
           number(directory_.size(), 4) + number(bytes_.size(), 4) + number(0, 2);
  }

 private:
  static std::string number(std::uint64_t value, int width) {
    std::string text;
    for (int i = 0; i < width; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
  }
  std::string bytes_, directory_;
  std::uint64_t entries_ = 0;
};

// A tensor of `elements` float zeros in record data/0, which holds `bytes` bytes.
std::string zipped_zeros(std::uint32_t elements, std::size_t bytes) {
  std::string count(4, '\0');
  for (std::size_t i = 0; i < 4; ++i) count[i] = static_cast<char>(elements >> (8 * i));
  Zip zip;
  zip.add("archive/data.pkl", "\x80\x02"s + "}" + unicode_op("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" +
                                  unicode_op("storage") + "ctorch\nFloatStorage\n" + unicode_op("0") +
                                  unicode_op("cpu") + "J" + count + "tQK\x00"s + "J" + count +
                                  "\x85K\x01\x85\x89}tRs.");
  zip.add("archive/version", "3\n");
  zip.add("archive/data/0", std::string(bytes, '\0'));
  return zip.bytes();
}

TEST(TorchFile, OfCompressedRecordsIsReadWithinReason) {
  const test::ScratchFolder folder;
  test::write_text_file(folder / "a.pt", zipped_zeros(1000, 4000));
  const TorchValue value = read_torch_file(folder / "a.pt");
  EXPECT_EQ(std::get<at::Tensor>(torch_entry(std::get<TorchDict>(value), "w", "a.pt")).numel(), 1000);
}

TEST(TorchFile, ThatUnpacksToManyTimesItsSizeIsRefused) {
  const test::ScratchFolder folder;
  test::write_text_file(folder / "a.pt", zipped_zeros(20 << 20, std::size_t{80} << 20));
  EXPECT_MENTIONS(test::message_of<DataError>([&] { read_torch_file(folder / "a.pt"); }), "times its size");
  test::write_text_file(folder / "a.pt", zipped_zeros(10, 1 << 20));
  EXPECT_MENTIONS(test::message_of<DataError>([&] { read_torch_file(folder / "a.pt"); }), "1048576 bytes for 40");
}

}  // namespace
}  // namespace tercet
