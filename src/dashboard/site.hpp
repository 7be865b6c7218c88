// What the server answers, without a server: addresses, headers, and the parts of a page that changed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dashboard/access.hpp"
#include "dashboard/catalogue.hpp"
#include "dashboard/pages.hpp"

namespace tercet::dashboard {

using Values = std::multimap<std::string, std::string>;  // of a query, decoded

struct Request {
  std::string method = "GET", path = "/";
  Values query;
  std::string host = "localhost", authorization, cookies;  // headers
  bool wants_range = false;                                // has a Range header
};

struct Reply {
  int status = 200;
  std::string type = "text/html; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string events_of;                     // not empty: no body but events, of the page at this address
  std::map<std::string, std::string> marks;  // of the parts that the browser has
};

// For any thread.
class Site {
 public:
  Site(Catalogue& catalogue, Access access);

  Reply answer(const Request& request);

  // {"parts": [{id, mark, html}]} of those whose mark is another than in `marks`, which is brought up to date; "" when
  // nothing changed. The address is one of ours: path and query.
  std::string changed_parts(const std::string& address, std::map<std::string, std::string>& marks);

 private:
  using Kept = std::pair<std::weak_ptr<const void>, std::shared_ptr<const Page>>;  // made from what, the page
  Reply answer_allowed(const Request& request);
  std::shared_ptr<const Page> page_at(const std::string& path, const Values& query);  // null: there is none
  std::shared_ptr<const Page> index(const Values& query);
  std::shared_ptr<const Page> run(const Values& query);
  std::shared_ptr<const Page> compare(const Values& query);
  std::shared_ptr<const Page> of_family(const std::string& path, const Values& query);
  std::vector<Family> families(const Listing& listing) const;
  std::shared_ptr<const Page> kept(const std::string& address, const std::shared_ptr<const void>& source,
                                   const std::function<Page()>& make);
  Reply data_of(const Request& request);

  Catalogue& catalogue_;
  const Access access_;
  std::mutex mutex_;
  std::map<std::string, Kept> kept_;  // of the latest looks
};

Values query_in(const std::string& address);  // of path and query

}  // namespace tercet::dashboard
