// HTML as a type: text becomes Html by being escaped, and elements are made of Html, so that a name from a file cannot
// become markup. A page is whole in itself: no script, no font, no image, nothing from a network; and it is well-formed
// XML besides, so that tools can read it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tercet::page {

struct ServedPage;

class Html {
 public:
  Html() = default;
  // These convert by themselves: to write text where Html is wanted is what escapes it. What cannot be shown (invalid
  // UTF-8, control characters, marks that turn the direction of writing) becomes U+FFFD.
  Html(std::string_view text);
  Html(const std::string& text) : Html(std::string_view(text)) {}
  Html(const char* text) : Html(std::string_view(text)) {}

  Html& operator+=(const Html& more);
  bool empty() const { return markup_.empty(); }
  const std::string& markup() const { return markup_; }

 private:
  friend Html element(std::string_view, const std::vector<std::pair<std::string_view, std::string>>&, const Html&);
  friend std::string document(const std::string&, const Html&);
  friend std::string document(const std::string&, const Html&, const ServedPage&);
  std::string markup_;
};
Html operator+(Html left, const Html& right);

using Attributes = std::vector<std::pair<std::string_view, std::string>>;  // values are escaped

// <tag a="b">content</tag>. Tag and attribute names are words of the program, never of a file.
Html element(std::string_view tag, const Attributes& attributes, const Html& content = {});

// The whole file: head, style and `body`. Starts with <!DOCTYPE html>.
std::string document(const std::string& title, const Html& body);

// The same for a page of a server, which forbids in its headers all but these two addresses.
struct ServedPage {
  std::string style, script;
  int reload_s = 0;  // where scripts are off; 0: never
};
std::string document(const std::string& title, const Html& body, const ServedPage& served);
const char* style_sheet();  // what a page carries with it, for a server to serve

// At most about `longest` bytes of a text, with an ellipsis where it was cut.
std::string shortened(const std::string& text, std::size_t longest);

// A figure that a program can find again: <data data-key="/results/packed/perplexity" value="20.0513">20.05</data>.
// `key` says where `tercet report --json` has the same number (a JSON pointer); "": nowhere.
Html figure_value(const std::string& key, double value, const std::string& shown);

struct Column {
  std::string name;
  bool number = true;  // aligned right
};
// Wider than the screen, it scrolls by itself. The first cell of a row is its heading.
Html table(const std::vector<Column>& columns, const std::vector<std::vector<Html>>& rows);

Html section(const std::string& id, const std::string& title, const Html& content);
Html note(const Html& content);                                // a remark in small print
Html folded(const std::string& summary, const Html& content);  // shown on request
Html plot(const std::string& title, const Html& chart, const std::string& caption);
Html grid(const std::vector<Html>& parts);  // side by side where there is room; empty ones are left out
Html wide(const Html& part);                // two places of a grid
struct Tile {
  std::string name;
  Html value;
  std::string more = {};
};
Html tiles(const std::vector<Tile>& list);

}  // namespace tercet::page
