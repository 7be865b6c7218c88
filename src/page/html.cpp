#include "tercet/page/html.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "page/style.hpp"
#include "tercet/base/utf8.hpp"

namespace tercet::page {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";
constexpr std::array<std::string_view, 10> kWithoutEnd = {"meta", "br",     "hr",       "path", "line",
                                                          "rect", "circle", "polyline", "link", "input"};

// Controls that XML has no place for, and marks that make a text read otherwise than it is written.
bool is_unshowable(char32_t c) {
  const bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
  const bool turns = c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return control || turns || (c & 0xFFFE) == 0xFFFE;
}

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    const Utf8Step step = utf8_step(text, position);
    if (!step.valid || is_unshowable(step.code_point)) {
      out += kReplacement;
    } else if (step.code_point == '&') {
      out += "&amp;";
    } else if (step.code_point == '<') {
      out += "&lt;";
    } else if (step.code_point == '>') {
      out += "&gt;";
    } else if (step.code_point == '"') {
      out += "&quot;";
    } else if (step.code_point == '\'') {
      out += "&#39;";
    } else {
      out.append(text, position, step.length);
    }
    position += step.length;
  }
  return out;
}

// The shortest text that reads as the same number.
std::string exact(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
  return std::string(text.data(), end.ptr);
}

}  // namespace

Html::Html(std::string_view text) : markup_(escaped(text)) {}

Html& Html::operator+=(const Html& more) {
  markup_ += more.markup_;
  return *this;
}

Html operator+(Html left, const Html& right) {
  left += right;
  return left;
}

Html element(std::string_view tag, const Attributes& attributes, const Html& content) {
  Html html;
  html.markup_ = "<" + std::string(tag);
  for (const auto& [name, value] : attributes) html.markup_ += " " + std::string(name) + "=\"" + escaped(value) + "\"";
  if (content.empty() && std::find(kWithoutEnd.begin(), kWithoutEnd.end(), tag) != kWithoutEnd.end()) {
    html.markup_ += "/>";
  } else {
    html.markup_ += ">" + content.markup_ + "</" + std::string(tag) + ">";
  }
  return html;
}

namespace {

Html head_of(const std::string& title) {
  return element("meta", {{"charset", "utf-8"}}) +
         element("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}}) +
         element("meta", {{"name", "color-scheme"}, {"content", "light dark"}}) + element("title", {}, title);
}

std::string whole(const Html& head, const Html& body) {
  const Html page = element("html", {{"lang", "en"}}, element("head", {}, head) + element("body", {}, body));
  return "<!DOCTYPE html>\n" + page.markup() + "\n";
}

}  // namespace

const char* style_sheet() {
  return kStyle;
}

std::string document(const std::string& title, const Html& body, const ServedPage& served) {
  Html head = head_of(title) + element("link", {{"rel", "stylesheet"}, {"href", served.style}}) +
              element("script", {{"src", served.script}, {"defer", "defer"}});
  if (served.reload_s > 0) {
    const std::string seconds = std::to_string(served.reload_s);
    head += element("noscript", {}, element("meta", {{"http-equiv", "refresh"}, {"content", seconds}}));
  }
  return whole(head, body);
}

std::string document(const std::string& title, const Html& body) {
  Html style;
  style.markup_ = kStyle;  // a constant of ours, with none of the signs that would need escaping
  Html head;
  // Should anything ever slip through, a browser still runs no script and loads nothing.
  head += element("meta", {{"http-equiv", "Content-Security-Policy"},
                           {"content", "default-src 'none'; style-src 'unsafe-inline'"}});
  head += element("style", {}, style);
  return whole(head_of(title) + head, body);
}

std::string shortened(const std::string& text, std::size_t longest) {
  if (text.size() <= longest) return text;
  std::size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a code point
  return text.substr(0, end) + "\xE2\x80\xA6";
}

Html figure_value(const std::string& key, double value, const std::string& shown) {
  Attributes attributes;
  if (!key.empty()) attributes.emplace_back("data-key", key);
  attributes.emplace_back("value", exact(value));
  return element("data", attributes, shown);
}

Html table(const std::vector<Column>& columns, const std::vector<std::vector<Html>>& rows) {
  const auto attributes = [&](std::size_t column) {
    return column < columns.size() && columns[column].number ? Attributes{{"class", "n"}} : Attributes{};
  };
  Html head, body;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    Attributes of_head = attributes(c);
    of_head.emplace_back("scope", "col");
    head += element("th", of_head, columns[c].name);
  }
  for (const std::vector<Html>& row : rows) {
    Html cells;
    for (std::size_t c = 0; c < row.size(); ++c) {
      cells += c == 0 ? element("th", {{"scope", "row"}}, row[c]) : element("td", attributes(c), row[c]);
    }
    body += element("tr", {}, cells);
  }
  return element("div", {{"class", "scroll"}, {"tabindex", "0"}},
                 element("table", {}, element("thead", {}, element("tr", {}, head)) + element("tbody", {}, body)));
}

Html section(const std::string& id, const std::string& title, const Html& content) {
  return element("section", {{"id", id}}, element("h2", {}, title) + content);
}

Html note(const Html& content) {
  return element("p", {{"class", "note"}}, content);
}

Html folded(const std::string& summary, const Html& content) {
  return element("details", {}, element("summary", {}, summary) + content);
}

Html plot(const std::string& title, const Html& chart, const std::string& caption) {
  Html inside = element("h3", {}, title) + chart;
  if (!caption.empty()) inside += element("figcaption", {}, caption);
  return element("figure", {}, inside);
}

Html grid(const std::vector<Html>& parts) {
  Html inside;
  for (const Html& part : parts) inside += part;
  return inside.empty() ? inside : element("div", {{"class", "grid"}}, inside);
}

Html wide(const Html& part) {
  return element("div", {{"class", "wide"}}, part);
}

Html tiles(const std::vector<Tile>& list) {
  Html inside;
  for (const Tile& tile : list) {
    Html content = element("dt", {}, tile.name) + element("dd", {{"class", "big"}}, tile.value);
    if (!tile.more.empty()) content += element("dd", {}, tile.more);
    inside += element("div", {}, content);
  }
  return element("dl", {{"class", "tiles"}}, inside);
}

}  // namespace tercet::page
