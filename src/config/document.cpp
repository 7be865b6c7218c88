#include "config/document.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <sstream>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet::config {
namespace {

constexpr std::size_t kDeepestNesting = 16;  // the schema needs four

YamlNode node_at(const YAML::Mark& mark, YamlNode::Kind kind) {
  YamlNode node;
  node.kind = kind;
  node.line = mark.is_null() ? 0 : mark.line + 1;
  node.column = mark.is_null() ? 0 : mark.column + 1;
  return node;
}

// yaml-cpp names "?" a plain node without a tag and "!" a quoted scalar.
bool has_own_tag(const std::string& tag) {
  return !tag.empty() && tag != "?" && tag != "!";
}

class TreeBuilder : public YAML::EventHandler {
 public:
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { place(node_at(mark, YamlNode::Kind::kNull)); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    YamlNode node = node_at(mark, YamlNode::Kind::kUnsupported);
    node.text = "aliases ('*name') are not supported; write the value again";
    place(std::move(node));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    YamlNode node = node_at(mark, YamlNode::Kind::kScalar);
    node.text = value;
    node.quoted = tag == "!";
    refuse_tag(node, tag);
    place(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, YamlNode::Kind::kList, tag);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, YamlNode::Kind::kMap, tag);
  }
  void OnMapEnd() override { close(); }

 private:
  static void refuse_tag(YamlNode& node, const std::string& tag) {
    if (!has_own_tag(tag)) return;
    node.kind = YamlNode::Kind::kUnsupported;
    node.text = "tags ('" + tag + "') are not supported; write the plain value";
  }
  void open(const YAML::Mark& mark, YamlNode::Kind kind, const std::string& tag) {
    if (open_.size() >= kDeepestNesting) throw YAML::ParserException(mark, "nested too deeply");
    open_.push_back(node_at(mark, kind));
    refuse_tag(open_.back(), tag);
  }
  void close() {
    YamlNode node = std::move(open_.back());
    open_.pop_back();
    place(std::move(node));
  }
  void place(YamlNode node) {
    const bool missing_value = node.kind == YamlNode::Kind::kNull && !open_.empty() &&
                               open_.back().kind == YamlNode::Kind::kMap && open_.back().items.size() % 2 == 1;
    if (missing_value) {  // yaml-cpp marks what follows; the key is where a person has to look
      node.line = open_.back().items.back().line;
      node.column = open_.back().items.back().column;
    }
    if (open_.empty()) {
      root_ = std::move(node);
    } else {
      open_.back().items.push_back(std::move(node));
    }
  }

  YamlNode root_;
  std::vector<YamlNode> open_;  // from the root to the node being filled
};

}  // namespace

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "empty";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a group of keys";
    case YamlNode::Kind::kUnsupported:
      return "unsupported";
    case YamlNode::Kind::kScalar:
      break;
  }
  const std::string shown = node.text.size() > 60 ? node.text.substr(0, 60) + "..." : node.text;
  return node.quoted ? "the text \"" + shown + "\"" : "'" + shown + "'";
}

std::string read_config_text(const std::filesystem::path& file) {
  constexpr std::uintmax_t kLargestFile = std::uintmax_t{1} << 20;
  try {
    return read_file(file, kLargestFile);
  } catch (const Error& error) {
    throw ConfigError("cannot read the configuration", error.what());
  }
}

YamlNode parse_yaml(const std::string& text) {
  std::istringstream stream(text);
  TreeBuilder builder;
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    YamlNode root = builder.take();
    if (TreeBuilder second; parser.HandleNextDocument(second)) {
      const YamlNode node = second.take();
      throw YamlSyntaxError("a second YAML document starts; a configuration is one document", node.line, node.column);
    }
    return root;
  } catch (const YAML::Exception& error) {
    const bool known = !error.mark.is_null();
    throw YamlSyntaxError("not valid YAML: " + error.msg, known ? error.mark.line + 1 : 0,
                          known ? error.mark.column + 1 : 0);
  }
}

}  // namespace tercet::config
