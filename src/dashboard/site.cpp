#include "dashboard/site.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "tercet/base/error.hpp"
#include "tercet/dashboard/assets.hpp"
#include "tercet/report/html_report.hpp"
#include "tercet/report/report.hpp"

namespace tercet::dashboard {
namespace {

using nlohmann::json;

constexpr std::size_t kMostKept = 24;
constexpr const char* kPlain = "text/plain; charset=utf-8";
constexpr const char* kJson = "application/json";
// A page may load our style and our script and ask us for more; nothing else, and nobody may frame it.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'";
// report.html brings its style with it, and has no script.
constexpr const char* kReportPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string value_of(const Values& query, const std::string& name) {
  const auto found = query.find(name);
  return found == query.end() ? "" : found->second;
}

std::string text_of(const json& object, int indent = -1) {
  return object.dump(indent, ' ', false, json::error_handler_t::replace);
}

Reply refusal(int status, const std::string& words) {
  Reply reply;
  reply.status = status;
  reply.type = kPlain;
  reply.body = words + "\n";
  return reply;
}

Reply not_found(const std::string& words) {
  Reply reply;
  reply.status = 404;
  reply.body = message_page("Not found", words);
  return reply;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string decoded(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool code = text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    if (code) {
      out += static_cast<char>(16 * digit(text[i + 1]) + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

// "gates:1a2b,now:33": what the browser has.
std::map<std::string, std::string> marks_in(const std::string& text) {
  std::map<std::string, std::string> marks;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::size_t colon = std::min(text.find(':', begin), end);
    if (colon < end) marks[text.substr(begin, colon - begin)] = text.substr(colon + 1, end - colon - 1);
    begin = end + 1;
  }
  return marks;
}

// The same address without its token, which should stay in no history.
std::string without_token(const Request& request) {
  std::vector<std::pair<std::string, std::string>> rest;
  for (const auto& [name, value] : request.query) {
    const bool word = std::all_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    if (name != "token" && word) rest.emplace_back(name, value);
  }
  const bool ours = std::all_of(request.path.begin(), request.path.end(),
                                [](char c) { return (c >= 'a' && c <= 'z') || c == '/' || c == '.'; }) &&
                    !request.path.starts_with("//");
  return address_of(ours ? request.path : "/", rest);
}

std::string address_of_page(const std::string& path, const Values& query) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const auto& [name, value] : query)
    if (name == "path" || name == "run" || name == "family" || name == "night" || name == "name" || name == "from")
      values.emplace_back(name, value);
  return address_of(path, values);
}

void add_common_headers(Reply& reply) {
  const auto has = [&](const std::string& name) {
    return std::any_of(reply.headers.begin(), reply.headers.end(), [&](const auto& h) { return h.first == name; });
  };
  if (!has("Content-Security-Policy")) reply.headers.emplace_back("Content-Security-Policy", kPolicy);
  for (const auto& [name, value] : {std::pair("X-Content-Type-Options", "nosniff"),
                                    {"Referrer-Policy", "no-referrer"},
                                    {"X-Frame-Options", "DENY"},
                                    {"Cross-Origin-Resource-Policy", "same-origin"},
                                    {"Cross-Origin-Opener-Policy", "same-origin"},
                                    {"Cache-Control", "no-store"}}) {
    reply.headers.emplace_back(name, value);
  }
}

}  // namespace

Values query_in(const std::string& address) {
  Values values;
  std::size_t begin = std::min(address.find('?'), address.size());
  while (begin < address.size()) {
    const std::size_t end = std::min(address.find('&', begin + 1), address.size());
    const std::string pair = address.substr(begin + 1, end - begin - 1);
    const std::size_t equal = std::min(pair.find('='), pair.size());
    if (!pair.empty())
      values.emplace(decoded(pair.substr(0, equal)), decoded(pair.substr(std::min(pair.size(), equal + 1))));
    begin = end;
  }
  return values;
}

Site::Site(Catalogue& catalogue, Access access) : catalogue_(catalogue), access_(std::move(access)) {}

Reply Site::answer(const Request& request) {
  Reply reply;
  try {
    const std::string token = value_of(request.query, "token");
    if (request.method != "GET" && request.method != "HEAD") {
      reply = refusal(405, "This server is for reading: GET and HEAD.");
      reply.headers.emplace_back("Allow", "GET, HEAD");
    } else if (!access_.knows_host(request.host)) {
      reply = refusal(421, "This server answers to localhost and loopback addresses.");
    } else if (request.wants_range) {
      reply = refusal(416, "There are no parts of a page by their bytes.");
    } else if (access_.is_token(token)) {
      reply = refusal(303, "");
      reply.headers.emplace_back("Location", without_token(request));
      reply.headers.emplace_back("Set-Cookie", access_.cookie());
    } else if (!access_.allows(request.authorization, request.cookies)) {
      reply = refusal(401, "A token is asked for: open the address that `tercet dashboard` said, with its ?token=.");
      reply.headers.emplace_back("WWW-Authenticate", "Bearer");
    } else {
      reply = answer_allowed(request);
    }
  } catch (const std::exception& error) {
    reply = Reply();
    reply.status = 500;
    reply.body = message_page("This page cannot be made", error.what());
  }
  add_common_headers(reply);
  return reply;
}

Reply Site::answer_allowed(const Request& request) {
  Reply reply;
  const std::string& path = request.path;
  if (path == "/dashboard.js") {
    reply.type = "text/javascript; charset=utf-8";
    reply.body = kScript;
  } else if (path == "/dashboard.css") {
    reply.type = "text/css; charset=utf-8";
    reply.body = std::string(page::style_sheet()) + kOwnStyle;
  } else if (path == "/favicon.ico") {
    reply.status = 204;
  } else if (path == "/events" || path == "/parts") {
    const std::string address = value_of(request.query, "page");
    std::map<std::string, std::string> marks = marks_in(value_of(request.query, "have"));
    if (!page_at(address.substr(0, address.find('?')), query_in(address)))
      return refusal(404, "There is no such page.");
    if (path == "/events") {
      reply.events_of = address;
      reply.marks = std::move(marks);
      return reply;
    }
    reply.type = kJson;
    reply.body = changed_parts(address, marks);
    if (reply.body.empty()) reply.body = R"({"parts":[]})";
  } else if (path == "/report" || path.starts_with("/api/")) {
    return data_of(request);
  } else if (const auto page = page_at(path, request.query)) {
    reply.body = whole_page(*page, address_of_page(path, request.query));
  } else {
    return not_found("There is nothing at this address in '" + catalogue_.folder().string() + "'.");
  }
  return reply;
}

// What the commands of the same names print with --json, and a report as a file.
Reply Site::data_of(const Request& request) {
  Reply reply;
  reply.type = kJson;
  if (request.path == "/api/runs") {
    std::shared_ptr<const Listing> listing = catalogue_.listing();
    while (listing->unread > 0) listing = catalogue_.listing();
    std::vector<RunSummary> runs;
    for (const ListedRun& run : listing->runs) runs.push_back(run.summary);
    reply.body = text_of(runs_json(runs), 1);
    return reply;
  }
  const std::shared_ptr<FollowedRun> run = catalogue_.open(value_of(request.query, "path"));
  if (!run) return not_found("There is no such run.");
  const std::shared_ptr<const RunLook> look = run->look();
  if (request.path == "/api/run") {
    reply.body = text_of(to_json(look->glance), 1);
  } else if (request.path == "/api/report") {
    reply.body = text_of(report_json(look->view), 1);
  } else if (request.path == "/report") {
    reply.type = "text/html; charset=utf-8";
    reply.body = html_report(look->view);
    reply.headers.emplace_back("Content-Security-Policy", kReportPolicy);
  } else {
    return not_found("There is no such data.");
  }
  return reply;
}

std::string Site::changed_parts(const std::string& address, std::map<std::string, std::string>& marks) {
  const auto page = page_at(address.substr(0, address.find('?')), query_in(address));
  if (!page) return "";
  json parts = json::array();
  for (const Part& part : page->parts) {
    std::string& mark = marks[part.id];
    if (mark == part.mark) continue;
    mark = part.mark;
    parts.push_back({{"id", part.id}, {"mark", part.mark}, {"html", part.content.markup()}});
  }
  return parts.empty() ? "" : text_of({{"parts", parts}});
}

std::shared_ptr<const Page> Site::page_at(const std::string& path, const Values& query) {
  if (path == "/") return index(query);
  if (path == "/run") return run(query);
  if (path == "/compare") return compare(query);
  if (path == "/family" || path == "/night" || path == "/element") return of_family(path, query);
  return nullptr;
}

std::shared_ptr<const Page> Site::kept(const std::string& address, const std::shared_ptr<const void>& source,
                                       const std::function<Page()>& make) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = kept_.find(address);
    if (found != kept_.end() && found->second.first.lock() == source) return found->second.second;
  }
  auto page = std::make_shared<const Page>(marked(make()));
  const std::lock_guard lock(mutex_);
  if (kept_.size() >= kMostKept) kept_.clear();
  kept_[address] = {source, page};
  return page;
}

std::vector<Family> Site::families(const Listing& listing) const {
  std::vector<Family> families;
  for (const std::string& path : listing.families)
    families.push_back(read_family(path == "." ? listing.folder : listing.folder / path, path));
  return families;
}

std::shared_ptr<const Page> Site::index(const Values& query) {
  std::size_t from = 0;
  const std::string text = value_of(query, "from");
  std::from_chars(text.data(), text.data() + text.size(), from);
  const std::shared_ptr<const Listing> listing = catalogue_.listing();
  return kept("/" + std::to_string(from), listing, [&] { return index_page(*listing, families(*listing), from); });
}

std::shared_ptr<const Page> Site::run(const Values& query) {
  const std::string path = value_of(query, "path");
  const std::shared_ptr<FollowedRun> run = catalogue_.open(path);
  if (!run) return nullptr;
  try {
    const std::shared_ptr<const RunLook> look = run->look();
    return kept("/run " + path, look, [&] { return run_page(*look); });
  } catch (const std::exception& error) {  // what a stranger's folder holds is no reason to fail
    return std::make_shared<const Page>(marked(unreadable_page(path, error.what())));
  }
}

std::shared_ptr<const Page> Site::compare(const Values& query) {
  std::vector<std::shared_ptr<const RunLook>> looks;
  const auto [begin, end] = query.equal_range("run");
  for (auto value = begin; value != end && looks.size() < 2; ++value) {
    const std::shared_ptr<FollowedRun> run = catalogue_.open(value->second);
    try {
      if (run) looks.push_back(run->look());
    } catch (const std::exception& error) {
      return std::make_shared<const Page>(marked(unreadable_page(value->second, error.what())));
    }
  }
  return std::make_shared<const Page>(marked(compare_page(*catalogue_.listing(), looks)));
}

std::shared_ptr<const Page> Site::of_family(const std::string& path, const Values& query) {
  const std::shared_ptr<const Listing> listing = catalogue_.listing();
  const std::string name = value_of(query, path == "/family" ? "path" : "family");
  if (std::find(listing->families.begin(), listing->families.end(), name) == listing->families.end()) return nullptr;
  const std::filesystem::path folder = name == "." ? listing->folder : listing->folder / name;
  const Family family = read_family(folder, name);
  if (path == "/family") return std::make_shared<const Page>(marked(family_page(family, *listing)));
  if (path == "/element") {
    const FamilyElementHistory* element = family.element(value_of(query, "name"));
    return element ? std::make_shared<const Page>(marked(element_page(family, *element, *listing))) : nullptr;
  }
  const std::string night = value_of(query, "night");
  if (!family.has(night)) return nullptr;
  return std::make_shared<const Page>(marked(night_page(family, night, read_night(folder, night), *listing)));
}

}  // namespace tercet::dashboard
