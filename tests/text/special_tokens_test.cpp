#include "tercet/text/special_tokens.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet {
namespace {

using Ids = std::vector<std::int32_t>;

class SpecialTokensOf : public testing::Test {
 protected:
  SpecialTokensOf() {
    write_byte_tokenizer(folder_.path());
    document_ = nlohmann::json::parse(read_file(folder_ / "tokenizer.json"));
  }
  SpecialTokens read(const nlohmann::json& post_processor, const std::string& settings = "{}") {
    document_["post_processor"] = post_processor;
    folder_.write("tokenizer.json", document_.dump());
    folder_.write("tokenizer_config.json", settings);
    return read_special_tokens(folder_.path(), *open_tokenizer(folder_.path()));
  }

  test::ScratchFolder folder_;
  nlohmann::json document_;
};

const nlohmann::json kTemplate = nlohmann::json::parse(
    R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<b>", "type_id": 0}},)"
    R"( {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<e>", "type_id": 0}}],)"
    R"( "special_tokens": {"<b>": {"id": "<b>", "ids": [7, 8]}, "<e>": {"id": "<e>", "ids": [9]}}})");

TEST_F(SpecialTokensOf, ATemplateStandAroundTheText) {
  const SpecialTokens special = read(kTemplate, R"({"bos_token": "<|endoftext|>", "add_bos_token": false})");
  EXPECT_EQ(special.bos, 256);
  EXPECT_EQ(special.before, (Ids{7, 8}));
  EXPECT_EQ(special.after, (Ids{9}));
}

TEST_F(SpecialTokensOf, ASequenceAreThoseOfItsParts) {
  const auto sequence = nlohmann::json{{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, kTemplate}}};
  EXPECT_EQ(read(sequence).before, (Ids{7, 8}));
  EXPECT_TRUE(read({{"type", "ByteLevel"}}).before.empty());
}

TEST_F(SpecialTokensOf, NoPostProcessorAreThoseOfTheSettings) {
  const std::string names = R"("bos_token": {"content": "<|endoftext|>"}, "eos_token": "<|endoftext|>")";
  EXPECT_TRUE(read(nullptr, "{" + names + "}").before.empty());
  const SpecialTokens special = read(nullptr, "{" + names + R"(, "add_bos_token": true, "add_eos_token": true})");
  EXPECT_EQ(special.before, (Ids{256}));
  EXPECT_EQ(special.after, (Ids{256}));
  EXPECT_EQ(read(nullptr, R"({"bos_token": "<unheard of>"})").bos, -1);
  EXPECT_EQ(read(nullptr).bos, -1);
}

TEST_F(SpecialTokensOf, AnUnknownPostProcessorAreRefusedByName) {
  const std::string said = test::message_of<DataError>([&] { read({{"type", "BertProcessing"}}); });
  EXPECT_MENTIONS(said, "tokenizer.json");
  EXPECT_MENTIONS(said, "BertProcessing");
}

TEST(ChatTemplate, IsThatOfItsOwnFileOrOfTheSettings) {
  const test::ScratchFolder folder;
  EXPECT_EQ(read_chat_template(folder.path()), "");
  folder.write("tokenizer_config.json", R"({"chat_template": "one {{ messages }}"})");
  EXPECT_EQ(read_chat_template(folder.path()), "one {{ messages }}");
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "two"},
                                                             {"name": "default", "template": "three"}]})");
  EXPECT_EQ(read_chat_template(folder.path()), "three");
  folder.write("chat_template.jinja", "four");
  EXPECT_EQ(read_chat_template(folder.path()), "four");
}

TEST(ChatTemplate, OfAnotherTypeIsRefused) {
  const test::ScratchFolder folder;
  folder.write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_MENTIONS(test::message_of<DataError>([&] { read_chat_template(folder.path()); }), "chat_template");
}

}  // namespace
}  // namespace tercet
