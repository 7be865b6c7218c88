#include "dashboard/pages.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "tercet/base/hash.hpp"
#include "tercet/base/text.hpp"

namespace tercet::dashboard {

using page::element;
using page::Html;

namespace {

constexpr int kReload_s = 10;  // where scripts are off
const page::ServedPage kServed{"/dashboard.css", "/dashboard.js", kReload_s};

std::string hex(std::uint64_t number) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
  return text.data();
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == '~' || c == '/';
}

std::string encoded(const std::string& text) {
  std::string out;
  for (const char c : text) {
    std::array<char, 4> code{};
    std::snprintf(code.data(), code.size(), "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += is_plain(c) ? std::string(1, c) : std::string(code.data());
  }
  return out;
}

Html top_line() {
  return element("div", {{"class", "top"}},
                 link_to("/", "all runs") + link_to("/compare", "compare two") +
                     element("span", {{"id", "live"}, {"data-state", "still"}}, "as of now"));
}

}  // namespace

Page marked(Page page) {
  for (Part& part : page.parts) part.mark = hex(hash64(part.content.markup()));
  return page;
}

std::string address_of(const std::string& page, const std::vector<std::pair<std::string, std::string>>& values) {
  std::string address = page;
  for (const auto& [name, value] : values)
    address += (address.size() == page.size() ? "?" : "&") + name + "=" + encoded(value);
  return address;
}

std::string whole_page(const Page& page, const std::string& address) {
  Html content;
  for (const Part& part : page.parts) {
    content +=
        element("div", {{"id", "part-" + part.id}, {"data-part", part.id}, {"data-mark", part.mark}}, part.content);
  }
  const Html main = element("main",
                            {{"id", "page"},
                             {"data-events", address_of("/events", {{"page", address}})},
                             {"data-parts", address_of("/parts", {{"page", address}})}},
                            content);
  return page::document(page::shortened(page.title, 120) + " \xE2\x80\x93 Tercet",
                        element("header", {}, top_line()) + main, kServed);
}

std::string message_page(const std::string& title, const std::string& words) {
  const Html text = element("h1", {}, title) + element("p", {}, words) + element("p", {}, link_to("/", "all runs"));
  page::ServedPage still = kServed;
  still.reload_s = 0;
  return page::document(title + " \xE2\x80\x93 Tercet", element("header", {}, text), still);
}

std::string with_three_digits(double value) {
  return format_fixed(value, 3);
}

std::string as_ratio(double value) {
  return format_fixed(value, 2) + "x";
}

std::string in_percent(double share) {
  return format_fixed(100 * share, 2) + " %";
}

std::string in_bytes(double bytes) {
  return format_bytes(static_cast<std::uint64_t>(std::clamp(bytes, 0.0, 1e18)));
}

std::string whole(double value) {
  return format_fixed(value, 0);
}

Html link_to(const std::string& address, const Html& content) {
  return element("a", {{"href", address}}, content);
}

Html badge(const std::string& state) {
  const bool good = state == "passed", bad = state == "failed" || state == "gate_failed" || state == "unreadable" ||
                                             state == "regressed" || state == "given_up";
  const bool warn = state == "running" || state == "stopped" || state == "interrupted";
  const std::string look = good ? "badge good" : bad ? "badge bad" : warn ? "badge warn" : "badge";
  const std::string words = state == "gate_failed" ? "gate failed" : state == "given_up" ? "given up" : state;
  return element("span", {{"class", look}}, page::shortened(words.empty() ? "unknown" : words, 40));
}

Html number_cell(const std::string& key, const std::optional<double>& value, std::string (*format)(double)) {
  return value ? page::figure_value(key, *value, format(*value)) : Html(kNone);
}

std::string path_in_words(const std::string& path, const Listing& listing) {
  return path == "." ? listing.folder.string() : path;
}

}  // namespace tercet::dashboard
