#include "dashboard/site.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "dashboard/runs.hpp"

namespace tercet::dashboard {
namespace {

using namespace std::chrono_literals;

std::string header(const Reply& reply, const std::string& name) {
  for (const auto& [key, value] : reply.headers)
    if (key == name) return value;
  return "";
}

class Sites : public test::WithRuns {
 protected:
  Reply get(const std::string& address, const std::string& token = "") {
    if (!site_) {
      catalogue_.emplace(folder());
      catalogue_->listing(10s);
      site_ = std::make_unique<Site>(*catalogue_, Access(true, token, 8420));
    }
    Request request;
    request.path = address.substr(0, address.find('?'));
    request.query = query_in(address);
    return answer(request);
  }
  Reply answer(const Request& request) {
    const Reply reply = site_->answer(request);
    expect_guarded(reply);
    return reply;
  }
  void expect_guarded(const Reply& reply) {
    EXPECT_NE(header(reply, "Content-Security-Policy").find("default-src 'none'"), std::string::npos);
    EXPECT_NE(header(reply, "Content-Security-Policy").find("frame-ancestors 'none'"), std::string::npos);
    EXPECT_EQ(header(reply, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(header(reply, "X-Frame-Options"), "DENY");
    EXPECT_EQ(header(reply, "Referrer-Policy"), "no-referrer");
    for (const auto& [name, value] : reply.headers) EXPECT_EQ(value.find_first_of("\r\n"), std::string::npos) << name;
  }

  std::optional<Catalogue> catalogue_;
  std::unique_ptr<Site> site_;
};

TEST_F(Sites, HavePagesDataAndFiles) {
  finished("a");
  running("b");
  family("nightly");
  for (const char* address :
       {"/", "/?from=250", "/run?path=a", "/run?path=b", "/compare", "/compare?run=a&run=b", "/family?path=nightly",
        "/night?family=nightly&night=2026-11-26", "/element?family=nightly&name=small-g32", "/report?path=a",
        "/dashboard.js", "/dashboard.css", "/api/runs", "/api/run?path=a", "/api/report?path=a", "/parts?page=/"}) {
    const Reply reply = get(address);
    EXPECT_EQ(reply.status, 200) << address;
    EXPECT_FALSE(reply.body.empty()) << address;
  }
  EXPECT_EQ(get("/favicon.ico").status, 204);
}

TEST_F(Sites, KnowNoOtherAddresses) {
  finished("a");
  for (const char* address :
       {"/run", "/run?path=../a", "/run?path=/etc", "/a", "/a/status.json", "//", "/../a", "/family?path=a",
        "/night?family=a&night=x", "/events?page=/nowhere", "/parts?page=http://evil.org/", "/api/",
        "/api/run?path=nowhere", "/report?path=..", "/dashboard.js/x"}) {
    EXPECT_EQ(get(address).status, 404) << address;
  }
}

TEST_F(Sites, AreForReading) {
  get("/");
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", ""}) {
    Request request;
    request.method = method;
    const Reply reply = answer(request);
    EXPECT_EQ(reply.status, 405) << method;
    EXPECT_EQ(header(reply, "Allow"), "GET, HEAD");
  }
  Request head;
  head.method = "HEAD";
  EXPECT_EQ(answer(head).status, 200);
}

TEST_F(Sites, AnswerNoOtherNameAndNoRange) {
  get("/");
  Request request;
  request.host = "evil.org:8420";
  EXPECT_EQ(answer(request).status, 421);
  request.host = "";
  EXPECT_EQ(answer(request).status, 421);
  request.host = "localhost:1";
  EXPECT_EQ(answer(request).status, 200);
  request.wants_range = true;
  EXPECT_EQ(answer(request).status, 416);
}

TEST_F(Sites, AskForTheirToken) {
  finished("a");
  EXPECT_EQ(get("/", "secret").status, 401);
  for (const char* address : {"/dashboard.js", "/api/runs", "/events?page=/", "/?token=wrong", "/?token="})
    EXPECT_EQ(get(address).status, 401) << address;
  const Reply first = get("/run?path=a&token=secret");
  EXPECT_EQ(first.status, 303);
  EXPECT_EQ(header(first, "Location"), "/run?path=a");
  const std::string cookie = header(first, "Set-Cookie");
  EXPECT_NE(cookie.find("HttpOnly"), std::string::npos);
  Request request;
  request.cookies = cookie.substr(0, cookie.find(';'));
  EXPECT_EQ(answer(request).status, 200);
  request.cookies = "";
  request.authorization = "Bearer secret";
  EXPECT_EQ(answer(request).status, 200);
}

TEST_F(Sites, LeadNowhereElse) {
  get("/", "secret");
  for (const char* path : {"//evil.org/", "/\r\nX: y", "/\\evil.org", "http://evil.org/"}) {
    Request request;
    request.path = path;
    request.query = {{"token", "secret"}, {"x\r\n", "y"}};
    EXPECT_EQ(header(answer(request), "Location"), "/") << path;
  }
}

TEST_F(Sites, SendThePartsThatChanged) {
  running("b");
  get("/run?path=b");
  std::map<std::string, std::string> marks;
  const auto all = nlohmann::json::parse(site_->changed_parts("/run?path=b", marks)).at("parts");
  EXPECT_GT(all.size(), 10u);
  std::this_thread::sleep_for(600ms);
  beat("b", 33);
  const auto later = nlohmann::json::parse(site_->changed_parts("/run?path=b", marks)).at("parts");
  std::vector<std::string> ids;
  for (const auto& part : later) ids.push_back(part.at("id"));
  EXPECT_NE(std::find(ids.begin(), ids.end(), "now"), ids.end());
  EXPECT_EQ(std::find(ids.begin(), ids.end(), "layers"), ids.end());
  EXPECT_EQ(site_->changed_parts("/nowhere", marks), "");
}

TEST_F(Sites, TellOfARunThatCannotBeRead) {
  finished("a");
  test::write_text_file(folder() / "a" / "status.json", "{");
  const Reply reply = get("/run?path=a");
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.body.find("unreadable"), std::string::npos);
  EXPECT_NE(get("/compare?run=a&run=a").body.find("unreadable"), std::string::npos);
  EXPECT_EQ(get("/api/run?path=a").status, 500);
}

TEST(Queries, AreDecoded) {
  const Values values = query_in("/x?path=a%20b%2Fc+d&run=1&run=2&odd&=&%zz=%4");
  EXPECT_EQ(values.find("path")->second, "a b/c d");
  EXPECT_EQ(values.count("run"), 2u);
  EXPECT_EQ(values.find("%zz")->second, "%4");
  EXPECT_TRUE(query_in("/x").empty());
}

}  // namespace
}  // namespace tercet::dashboard
