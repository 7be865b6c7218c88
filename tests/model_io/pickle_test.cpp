// The pickle machine on hand-made pickles, hostile and merely odd.
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>

#include "model_io/pickle_reader.hpp"
#include "support/errors.hpp"

namespace tercet {
namespace {

using namespace std::string_literals;
using test::message_of;

const std::string kProtocol = "\x80\x02"s;

TorchValue read(const std::string& body) {
  const std::string pickle = kProtocol + body;
  PickleReader reader(pickle, "file.bin", [](const std::string& key, c10::ScalarType type, std::int64_t elements) {
    return at::arange(elements, type);
  });
  return reader.read();
}

std::string refusal(const std::string& body) {
  const std::string message = message_of<DataError>([&] { read(body); });
  EXPECT_MENTIONS(message, "file.bin");
  return message;
}

std::string text(const std::string& value) {
  return std::string("X") + static_cast<char>(value.size()) + "\0\0\0"s + value;
}

// A storage of ten floats, then the rest of the arguments of _rebuild_tensor_v2.
std::string tensor(const std::string& offset, const std::string& size, const std::string& stride) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\nFloatStorage\n" + text("0") +
         text("cpu") + "K\x0atQ" + offset + size + stride + "\x89" + "ccollections\nOrderedDict\n)RtR.";
}

TEST(Pickle, RefusesToRunAnything) {
  EXPECT_MENTIONS(refusal("cos\nsystem\n(" + text("echo owned") + "tR."), "'os.system'");
  EXPECT_MENTIONS(refusal("cbuiltins\neval\n(" + text("1") + "tR."), "'builtins.eval'");
  EXPECT_MENTIONS(refusal(text("posix") + text("system") + "\x93)R."), "'posix.system'");
  EXPECT_MENTIONS(refusal("cos\nsystem\n."), "'os.system'") << "a bare name is no value";
  EXPECT_MENTIONS(refusal("ctorch.nn.modules.linear\nLinear\n)R."), "whole object");
  EXPECT_MENTIONS(refusal("cos\nsystem\n)\x81."), "'os.system'") << "NEWOBJ";
  EXPECT_MENTIONS(refusal("(ios\nsystem\n."), "0x69") << "INST";
  EXPECT_MENTIONS(refusal("ctorch._utils\n_rebuild_tensor_v3\n)R."), "float8");
}

TEST(Pickle, BuildsOrderedDictsAndDropsTheirAttributes) {
  const std::string metadata = "}" + text("_metadata") + "}sb.";
  const TorchValue value =
      read("ccollections\nOrderedDict\n)R(" + text("a") + "K\x01" + text("b") + "K\x02u" + metadata);
  const auto& dict = std::get<TorchDict>(value);
  ASSERT_EQ(dict.size(), 2);
  EXPECT_EQ(dict[1].first, "b");
  EXPECT_EQ(std::get<std::int64_t>(dict[1].second), 2);
  EXPECT_MENTIONS(refusal("]}b."), "attributes");
}

TEST(Pickle, ReadsScalarsAtTheirEdges) {
  EXPECT_EQ(std::get<std::int64_t>(read("J\xff\xff\xff\xff."s)), -1);
  EXPECT_EQ(std::get<std::int64_t>(read("\x8a\x02\x00\xff."s)), -256);
  EXPECT_EQ(std::get<std::int64_t>(read("\x8a\x00."s)), 0);
  EXPECT_DOUBLE_EQ(std::get<double>(read("G\xbf\xf8\0\0\0\0\0\0."s)), -1.5);
  EXPECT_MENTIONS(refusal("\x8a\x09" + std::string(9, '\1') + "."), "64 bits");
}

TEST(Pickle, HonoursStridesAndOffsets) {
  const at::Tensor read_tensor = std::get<at::Tensor>(read(tensor("K\x01", "K\x02K\x03\x86", "K\x01K\x03\x86")));
  EXPECT_TRUE(at::equal(read_tensor, at::arange(10, at::kFloat).as_strided({2, 3}, {1, 3}, 1)));
}

TEST(Pickle, RefusesTensorsThatLeaveTheirStorage) {
  EXPECT_MENTIONS(refusal(tensor("K\x01", "K\x0a\x85", "K\x01\x85")), "element 10 of a storage of 10");
  EXPECT_MENTIONS(refusal(tensor("J\xff\xff\xff\xff", "K\x01\x85", "K\x01\x85")), "overflows");
  EXPECT_MENTIONS(refusal(tensor("K\x00"s, "J\xff\xff\xff\xff\x85", "K\x01\x85")), "overflows");
  EXPECT_MENTIONS(refusal(tensor("K\x05", "K\x02\x85", "J\xff\xff\xff\xff\x85")), "strides");
  const std::string huge = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
  EXPECT_MENTIONS(refusal(tensor("K\x00"s, huge + "\x85", "K\x01\x85")), "overflows");
  EXPECT_MENTIONS(refusal(tensor("K\x00"s, "K\x03\x85", huge + "\x85")), "strides");
  EXPECT_MENTIONS(refusal(tensor("K\x00"s, "K\x03\x85", "K\x01K\x01\x86")), "shape");
  EXPECT_MENTIONS(refusal(tensor("N", "K\x03\x85", "K\x01\x85")), "offset");
}

TEST(Pickle, RefusesStoragesItDoesNotKnow) {
  const std::string id = "(" + text("storage") + "ctorch\nComplexFloatStorage\n" + text("0") + text("cpu") + "K\x01tQ.";
  EXPECT_MENTIONS(refusal(id), "ComplexFloatStorage");
  EXPECT_MENTIONS(refusal("(" + text("file") + "tQ."), "storage");
  const std::string bare = "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\x01tQ.";
  EXPECT_MENTIONS(refusal(bare), "bare storage");
}

TEST(Pickle, BoundsNestingAndUnfolding) {
  EXPECT_MENTIONS(refusal(std::string(100, ']') + std::string(99, 'a') + "."), "nested");
  std::string bomb = "]q\x00"s;  // each list holds the one before it ten times
  for (char i = 0; i < 60; ++i) {
    bomb += "](";
    for (int k = 0; k < 10; ++k) bomb += "h"s + i;
    bomb += "eq"s + static_cast<char>(i + 1);
  }
  EXPECT_MENTIONS(refusal(bomb + "."), "unfolds");
  EXPECT_MENTIONS(refusal("]q\x01h\x01"s + "a."), "nested") << "a list that holds itself";
}

TEST(Pickle, RefusesEveryTruncation) {
  const std::string whole = tensor("K\x01", "K\x02K\x03\x86", "K\x01K\x03\x86");
  for (std::size_t size = 0; size < whole.size(); ++size) refusal(whole.substr(0, size));
}

TEST(Pickle, RefusesMalformedPrograms) {
  EXPECT_MENTIONS(refusal("."), "stack");
  EXPECT_MENTIONS(refusal("u."), "mark");
  EXPECT_MENTIONS(refusal("}(K\x01u."), "no dict");
  EXPECT_MENTIONS(refusal("K\x01K\x02"s + "a."), "no list");
  EXPECT_MENTIONS(refusal("h\x05."), "memo");
  EXPECT_MENTIONS(refusal("}(K\x01K\x02u."), "no string");
  EXPECT_MENTIONS(refusal("}(" + text("a") + "N" + text("a") + "Nu."), "twice");
  EXPECT_MENTIONS(refusal("\x80\x07."), "protocol");
  EXPECT_MENTIONS(refusal("X\xff\xff\xff\xff."), "ends");
}

}  // namespace
}  // namespace tercet
