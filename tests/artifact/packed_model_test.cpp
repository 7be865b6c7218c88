#include "tercet/artifact/packed_model.hpp"

#include <ATen/ops/equal.h>

#include <functional>

#include "support.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

using test::ScratchFolder;
using test::tiny_gpt2;
using test::tiny_llama;

TEST(PackedModel, ReadsBackWhatItWrites) {
  const ScratchFolder folder;
  for (const PackedModel& model : {tiny_llama(), tiny_gpt2()}) {
    write_packed_model(folder / "model.pt", model);
    const PackedModel read = read_packed_model(folder / "model.pt");
    EXPECT_EQ(read.config.family, model.config.family);
    EXPECT_EQ(nlohmann::json::parse(read.config.json), nlohmann::json::parse(model.config.json));
    EXPECT_EQ(read.activation_bits, model.activation_bits);
    EXPECT_EQ(read.provenance, model.provenance);
    ASSERT_EQ(read.tensors.size(), model.tensors.size());
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
      const PackedTensor &one = model.tensors[i], &other = read.tensors[i];
      EXPECT_EQ(other.name, one.name) << "the order is kept";
      EXPECT_EQ(other.role, one.role);
      EXPECT_EQ(other.input_first, one.input_first);
      EXPECT_EQ(other.stored.shape, one.stored.shape);
      EXPECT_TRUE(at::equal(other.stored.codes, one.stored.codes)) << one.name;
      EXPECT_TRUE(at::equal(dequantize(other.stored), dequantize(one.stored))) << one.name;
    }
  }
}

TEST(PackedModel, WritesTheSameBytesTwice) {
  const ScratchFolder folder;
  write_packed_model(folder / "a.pt", tiny_llama());
  write_packed_model(folder / "b.pt", tiny_llama());
  EXPECT_EQ(read_file(folder / "a.pt"), read_file(folder / "b.pt"));
}

TEST(PackedModel, ReallyPacksTwoBitsAWeight) {
  const ScratchFolder folder;
  PackedModel model = tiny_llama();
  const FormatSpec spec{number_format("ternary"), Granularity::kGroup, 128, ScaleRule::kAbsmean};
  model.tensors = {{"w", "up", false, store(test::some_weight({1024, 1024}, 1), spec)}};
  write_packed_model(folder / "a.pt", model);
  const auto size = std::filesystem::file_size(folder / "a.pt");
  const std::uint64_t payload = 1024 * 1024 / 4 + 1024 * 8 * 2;
  EXPECT_GE(size, payload);
  EXPECT_LT(size, payload + 4096) << "the container costs little";
}

// Writes a valid packed model, lets `damage` change its tree, and reads it.
std::string refusal(const std::function<void(TorchDict&)>& damage) {
  const ScratchFolder folder;
  write_packed_model(folder / "model.pt", tiny_llama());
  TorchValue root = read_torch_file(folder / "model.pt");
  damage(std::get<TorchDict>(root));
  write_torch_file(folder / "damaged.pt", root);
  return test::message_of<DataError>([&] { read_packed_model(folder / "damaged.pt"); });
}

TorchValue& at_path(TorchDict& dict, const std::vector<std::string>& path) {
  TorchDict* current = &dict;
  for (std::size_t i = 0;; ++i) {
    auto& value = const_cast<TorchValue&>(torch_entry(*current, path[i], "test"));
    if (i + 1 == path.size()) return value;
    current = &std::get<TorchDict>(value);
  }
}

const std::string kQuery = "model.layers.0.self_attn.q_proj.weight";
const std::string kEmbedding = "model.embed_tokens.weight";

at::Tensor filled(TorchDict& root, const std::string& section, const std::string& name, double value) {
  return std::get<at::Tensor>(at_path(root, {section, name})).clone().fill_(value);
}

TEST(PackedModel, RefusesCodesThatStandForNothing) {
  std::string message = refusal([](TorchDict& root) {
    at_path(root, {"state_dict", kQuery}) = filled(root, "state_dict", kQuery, 0x0c);
  });
  EXPECT_MENTIONS(message, "code 3");
  EXPECT_MENTIONS(message, kQuery);
  EXPECT_MENTIONS(message, "damaged.pt");
  message = refusal([](TorchDict& root) {
    at_path(root, {"state_dict", kEmbedding}) = filled(root, "state_dict", kEmbedding, -128);
  });
  EXPECT_MENTIONS(message, "-128");
}

TEST(PackedModel, RefusesScalesThatAreNotSound) {
  for (const double bad : {std::nan(""), -1.0, HUGE_VAL}) {
    const std::string message = refusal([bad](TorchDict& root) {
      at_path(root, {"scale_factors", kQuery}) = filled(root, "scale_factors", kQuery, bad);
    });
    EXPECT_MENTIONS(message, "scale");
    EXPECT_MENTIONS(message, kQuery);
  }
  EXPECT_MENTIONS(refusal([](TorchDict& root) {
                    at_path(root, {"scale_factors", kQuery}) = filled(root, "scale_factors", kQuery, 1).flatten();
                  }),
                  "shape");
  EXPECT_MENTIONS(refusal([](TorchDict& root) {
                    at_path(root, {"scale_factors", kQuery}) = filled(root, "scale_factors", kQuery, 1).to(at::kFloat);
                  }),
                  "type");
}

TEST(PackedModel, RefusesTensorsMissingOrLeftOver) {
  const auto without = [](const std::string& section) {
    return refusal([&](TorchDict& root) {
      auto& dict = std::get<TorchDict>(at_path(root, {section}));
      std::erase_if(dict, [](const auto& entry) { return entry.first == kQuery; });
    });
  };
  EXPECT_MENTIONS(without("scale_factors"), "no scales");
  EXPECT_MENTIONS(without("state_dict"), "no codes");
  EXPECT_MENTIONS(without("quantization"), "not described");
  EXPECT_MENTIONS(refusal([](TorchDict& root) {
                    auto& scales = std::get<TorchDict>(at_path(root, {"scale_factors"}));
                    scales.emplace_back("model.norm.weight", filled(root, "scale_factors", kQuery, 1));
                  }),
                  "model.norm.weight");
}

TEST(PackedModel, RefusesDescriptionsThatDoNotFit) {
  const std::vector<std::pair<std::string, TorchValue>> changes = {
      {"format", std::string("int3")},
      {"granularity", std::string("brick")},
      {"group_size", std::int64_t{0}},
      {"group_size", std::int64_t{4}},
      {"shape", TorchList{std::int64_t{12}, std::int64_t{24}}},
      {"shape", TorchList{std::int64_t{12}}},
      {"shape", TorchList{std::int64_t{1} << 40, std::int64_t{1} << 40}},
      {"shape", TorchList{std::string("12")}},
      {"role", std::int64_t{7}},
      {"input_first", std::monostate{}}};
  for (const auto& [key, value] : changes) {
    const std::string message = refusal([&](TorchDict& root) { at_path(root, {"quantization", kQuery, key}) = value; });
    EXPECT_FALSE(message.empty()) << key;
  }
}

TEST(PackedModel, RefusesOtherFormatsAndVersions) {
  EXPECT_MENTIONS(refusal([](TorchDict& root) { at_path(root, {"version"}) = std::int64_t{2}; }), "version 2");
  EXPECT_MENTIONS(refusal([](TorchDict& root) { at_path(root, {"format"}) = std::string("other"); }), "packed");
  EXPECT_MENTIONS(refusal([](TorchDict& root) {
                    at_path(root, {"config", "activation_bits"}) = std::int64_t{3};
                  }),
                  "activation_bits");
  EXPECT_MENTIONS(refusal([](TorchDict& root) {
                    at_path(root, {"config", "model", "hidden_size"}) = 1.5;
                  }),
                  "hidden_size");
  EXPECT_MENTIONS(
      refusal([](TorchDict& root) { at_path(root, {"provenance"}) = filled(root, "state_dict", kQuery, 0); }),
      "settings");
  EXPECT_MENTIONS(refusal([](TorchDict& root) { root.clear(); }), "'format'");
}

TEST(PackedModel, NeverWritesWhatItWouldNotRead) {
  const ScratchFolder folder;
  PackedModel model = tiny_llama();
  model.tensors.push_back(model.tensors.front());
  EXPECT_THROW(write_packed_model(folder / "a.pt", model), DataError) << "one name twice";
  model = tiny_llama();
  model.tensors[1].stored.codes = model.tensors[1].stored.codes.clone().fill_(std::nan(""));
  EXPECT_THROW(write_packed_model(folder / "a.pt", model), DataError) << "NaN";
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace tercet
