// The only source that knows cpp-httplib. TLS is for whoever forwards the port (ssh -L, a proxy).
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "dashboard/site.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/dashboard/dashboard.hpp"

namespace tercet::dashboard {
namespace {

constexpr std::size_t kThreads = 32;
constexpr int kMostFollowers = 16;  // connections for events: each takes a thread
constexpr auto kBetweenEvents = std::chrono::milliseconds(1000);
constexpr auto kSignOfLife = std::chrono::seconds(15);
constexpr time_t kFirstByte_s = 2, kRead_s = 5, kWrite_s = 5;

// Wakes the threads that wait between two events when the server ends.
class Stopping {
 public:
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  bool within(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return stopped_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
};

// One of the connections for events, counted as long as it lives.
class Follower {
 public:
  explicit Follower(std::atomic<int>& count) : count_(count), fits_(count_.fetch_add(1) < kMostFollowers) {}
  ~Follower() { count_.fetch_sub(1); }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;
  bool fits() const { return fits_; }

 private:
  std::atomic<int>& count_;
  bool fits_;
};

Request request_of(const httplib::Request& from) {
  Request request{from.method, from.path, {}, "", "", "", false};
  request.query = {from.params.begin(), from.params.end()};
  request.host = from.get_header_value("Host");
  request.authorization = from.get_header_value("Authorization");
  request.cookies = from.get_header_value("Cookie");
  request.wants_range = from.has_header("Range");
  return request;
}

// What one browser gets: the parts of its page that changed, once a second.
class Events {
 public:
  Events(Site& site, Stopping& stopping, std::shared_ptr<Follower> follower, const Reply& reply)
      : site_(site),
        stopping_(stopping),
        follower_(std::move(follower)),
        address_(reply.events_of),
        marks_(reply.marks) {}

  // One round; false ends the connection.
  bool next(httplib::DataSink& sink) {
    if (!begun_) send(sink, "retry: 3000\n\n");
    if (std::exchange(begun_, true) && stopping_.within(kBetweenEvents)) return false;
    if (!sink.is_writable()) return false;  // the browser is gone
    std::string parts;
    try {
      parts = site_.changed_parts(address_, marks_);
    } catch (const std::exception&) {  // a run that is being removed: the next round knows
    }
    const auto now = std::chrono::steady_clock::now();
    if (!parts.empty()) {
      send(sink, "data: " + parts + "\n\n");
    } else if (now - sent_ > kSignOfLife) {
      send(sink, ":\n\n");  // for proxies, which end connections that are silent
    }
    return true;
  }

 private:
  void send(httplib::DataSink& sink, const std::string& text) {
    sink.write(text.data(), text.size());
    sent_ = std::chrono::steady_clock::now();
  }

  Site& site_;
  Stopping& stopping_;
  std::shared_ptr<Follower> follower_;
  std::string address_;
  std::map<std::string, std::string> marks_;
  bool begun_ = false;
  std::chrono::steady_clock::time_point sent_;
};

class Server {
 public:
  Server(Site& site, const Options& options) : site_(site) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_keep_alive_max_count(1);  // a connection that idles would keep a thread
    server_.set_keep_alive_timeout(kFirstByte_s);
    server_.set_read_timeout(kRead_s);
    server_.set_write_timeout(kWrite_s);
    server_.set_payload_max_length(0);
    server_.set_tcp_nodelay(true);
    // Not SO_REUSEPORT, the library's choice: a second server would get some of the connections of the first.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    // Before the library's own routing, which would match regular expressions.
    server_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      write(site_.answer(request_of(request)), response);
      return httplib::Server::HandlerResponse::Handled;
    });
    port_ = options.port;
    if (port_ == 0) port_ = server_.bind_to_any_port(options.host);
    if (port_ < 0 || (options.port != 0 && !server_.bind_to_port(options.host, port_))) {
      throw ConfigError("cannot listen at " + options.host + ", port " + std::to_string(options.port),
                        "another program may listen there, or this machine has no such address",
                        "choose another --port or --host");
    }
  }

  int port() const { return port_; }

  // `each_time` is called between looks at `stops`: soon again where it says so.
  void run(const std::function<bool()>& each_time, const std::function<bool()>& stops) {
    std::atomic<bool> ended{false};
    std::thread listener([&] {
      heartbeat::mute_this_thread();
      server_.listen_after_bind();
      ended = true;
    });
    while (!stops() && !ended) {
      heartbeat::beat();
      const bool more = each_time();
      std::this_thread::sleep_for(std::chrono::milliseconds(more ? 1 : 100));
    }
    while (!server_.is_running() && !ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stopping_.stop();
    server_.stop();
    listener.join();
  }

 private:
  void write(Reply reply, httplib::Response& response) {
    response.status = reply.status;
    for (const auto& [name, value] : reply.headers) response.set_header(name, value);
    if (!reply.events_of.empty()) return write_events(reply, response);
    // By a provider, so that the library does not compress it, which takes longer than it saves on a loopback.
    auto body = std::make_shared<std::string>(std::move(reply.body));
    if (body->empty()) return;
    response.set_content_provider(body->size(), reply.type,
                                  [body](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
                                    sink.write(body->data() + offset, length);
                                    return true;
                                  });
  }

  void write_events(const Reply& reply, httplib::Response& response) {
    auto follower = std::make_shared<Follower>(followers_);
    if (!follower->fits()) {
      response.status = 503;
      response.set_header("Retry-After", "5");
      return;
    }
    auto events = std::make_shared<Events>(site_, stopping_, follower, reply);
    response.set_chunked_content_provider(
        "text/event-stream", [events](std::size_t, httplib::DataSink& sink) { return events->next(sink); });
  }

  Site& site_;
  Stopping stopping_;
  std::atomic<int> followers_{0};
  int port_ = 0;
  httplib::Server server_;  // the last member: its threads use the others
};

std::string address_at(const std::string& host, int port, const std::string& token) {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return "http://" + name + ":" + std::to_string(port) + "/" + (token.empty() ? "" : "?token=" + token);
}

}  // namespace

void serve(const Options& options, const std::function<void(const std::string&)>& opened,
           const std::function<bool()>& stops) {
  Catalogue catalogue(options.folder);
  const bool loopback = is_loopback(options.host);
  const std::string token = options.token.empty() && !loopback ? random_token() : options.token;
  Site site(catalogue, Access(loopback, token, options.port));
  Server server(site, options);
  opened(address_at(options.host, server.port(), token));
  // Before somebody looks, so that the first page is there at once.
  bool read_all = false;
  const auto read_ahead = [&] {
    if (!read_all) read_all = catalogue.listing()->unread == 0;
    return !read_all;
  };
  server.run(read_ahead, stops);
}

}  // namespace tercet::dashboard
