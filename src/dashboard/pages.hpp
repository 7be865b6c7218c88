// The pages of the dashboard, from what is known to markup. Each is made of parts that are sent anew when they change.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dashboard/catalogue.hpp"
#include "dashboard/family_files.hpp"
#include "dashboard/followed_run.hpp"
#include "tercet/page/html.hpp"

namespace tercet::dashboard {

struct Part {
  std::string id;
  page::Html content;
  std::string mark = {};  // changes with the content; set by marked()
};

struct Page {
  std::string title;
  std::vector<Part> parts;  // the same ids whatever is known, so that a part can appear later
};
Page marked(Page page);

// The path and query of a page of ours; values may be anything.
std::string address_of(const std::string& page, const std::vector<std::pair<std::string, std::string>>& values);

// page_index.cpp. `from`: the first run to list, counted from the newest.
Page index_page(const Listing& listing, const std::vector<Family>& families, std::size_t from);
// page_run.cpp
Page run_page(const RunLook& run);
Page unreadable_page(const std::string& path, const std::string& reason);
// page_compare.cpp. `runs`: none, one or two.
Page compare_page(const Listing& listing, const std::vector<std::shared_ptr<const RunLook>>& runs);
// page_family.cpp
Page family_page(const Family& family, const Listing& listing);
Page night_page(const Family& family, const std::string& night, const std::vector<ElementTonight>& elements,
                const Listing& listing);
Page element_page(const Family& family, const FamilyElementHistory& element, const Listing& listing);

// The whole file of a page at `address`, which has a query.
std::string whole_page(const Page& page, const std::string& address);
std::string message_page(const std::string& title, const std::string& words);

// What several of them need.
inline constexpr const char* kNone = "\xE2\x80\x93";  // where nothing was measured
inline constexpr double kLate_s = 30;                 // without a heartbeat, which is written every five seconds
std::string with_three_digits(double value);
std::string as_ratio(double value);    // "12.81x"
std::string in_percent(double share);  // "62.71 %"
std::string in_bytes(double bytes);
std::string whole(double value);
page::Html link_to(const std::string& address, const page::Html& content);
page::Html badge(const std::string& state);
page::Html number_cell(const std::string& key, const std::optional<double>& value, std::string (*format)(double));
std::string path_in_words(const std::string& path, const Listing& listing);  // of a run, for a heading

}  // namespace tercet::dashboard
