#include "tercet/track/mlflow.hpp"

#include <httplib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "tercet/base/error.hpp"
#include "tercet/page/chart.hpp"
#include "tercet/report/report.hpp"
#include "tercet/track/trackers.hpp"

namespace tercet {
namespace {

using nlohmann::json;

// What a server takes in one request, and of one parameter.
constexpr std::size_t kMetricsAtOnce = 1000, kParametersAtOnce = 100, kLongestParameter = 500;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Address {
  std::string server, prefix;  // "https://host:port", "/mlflow"
};

Address parse_url(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::string name = url.substr(0, scheme == std::string::npos ? 0 : scheme);
  if ((name != "http" && name != "https") || url.size() == scheme + 3) {
    throw ConfigError("'" + url + "' is no address of an MLflow server", "http://HOST:PORT or https://HOST is wanted",
                      "the server's MLFLOW_TRACKING_URI");
  }
  const std::size_t slash = std::min(url.find('/', scheme + 3), url.size());
  std::string prefix = url.substr(slash);
  while (prefix.ends_with('/')) prefix.pop_back();
  return {url.substr(0, slash), prefix};
}

class Server {
 public:
  explicit Server(const std::string& url) : url_(url), address_(parse_url(url)), client_(address_.server) {
    client_.set_connection_timeout(10);
    client_.set_read_timeout(60);
    client_.set_write_timeout(60);
    if (const std::string token = variable("MLFLOW_TRACKING_TOKEN"); !token.empty()) {
      client_.set_bearer_token_auth(token);
    } else if (const std::string user = variable("MLFLOW_TRACKING_USERNAME"); !user.empty()) {
      client_.set_basic_auth(user, variable("MLFLOW_TRACKING_PASSWORD"));
    }
  }

  json post(const std::string& call, const json& body) {
    const std::string text = body.dump(-1, ' ', false, json::error_handler_t::replace);
    return answer(call, client_.Post(path(call), text, "application/json"), /*absent_allowed=*/false);
  }
  // null: the server says that there is no such thing.
  json get(const std::string& call, const httplib::Params& parameters) {
    return answer(call, client_.Get(path(call), parameters, httplib::Headers()), /*absent_allowed=*/true);
  }

 private:
  std::string path(const std::string& call) const { return address_.prefix + "/api/2.0/mlflow/" + call; }

  json answer(const std::string& call, const httplib::Result& result, bool absent_allowed) const {
    const std::string problem = "the run could not be sent to '" + url_ + "'";
    if (!result) throw StoreError(problem, call + ": " + httplib::to_string(result.error()), "is the server running?");
    if (result->status == 404 && absent_allowed) return nullptr;
    const json content = json::parse(result->body, nullptr, /*allow_exceptions=*/false);
    if (result->status != 200 || !content.is_object()) {
      const std::string said = text_in(content, "message");
      throw StoreError(problem, call + ": status " + std::to_string(result->status) + (said.empty() ? "" : ", ") +
                                    page::shortened(said, 300));
    }
    return content;
  }

  std::string url_;
  Address address_;
  httplib::Client client_;
};

std::string id_in(const json& answer, const char* pointer) {
  const json::json_pointer place(pointer);
  if (!answer.contains(place) || !answer.at(place).is_string()) {
    throw StoreError("the server's answer has no " + std::string(pointer), "", "is it an MLflow tracking server?");
  }
  return answer.at(place);
}

std::string experiment_id(Server& server, const std::string& name) {
  const json known = server.get("experiments/get-by-name", {{"experiment_name", name}});
  if (!known.is_null()) return id_in(known, "/experiment/experiment_id");
  return id_in(server.post("experiments/create", {{"name", name}}), "/experiment_id");
}

std::int64_t milliseconds(double seconds) {
  return std::llround(seconds * 1000);
}

// As JSON of protocol buffers has it.
json protobuf_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

// MLflow takes letters, digits and "_-. :/".
std::string key_of(std::string name) {
  for (char& c : name) {
    const bool taken = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("_-. :/").find(c) != std::string_view::npos;
    if (!taken) c = '_';
  }
  return name;
}

json metric(const TrackedValue& value) {
  return {{"key", key_of(value.series)},
          {"value", protobuf_number(value.value)},
          {"timestamp", milliseconds(value.wall_time)},
          {"step", value.step}};
}

// Sends a list in parts that a server takes.
void log_parts(Server& server, const std::string& run, const char* kind, const json& items, std::size_t at_once) {
  for (std::size_t begin = 0; begin < items.size(); begin += at_once) {
    const auto first = items.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto count = static_cast<std::ptrdiff_t>(std::min(at_once, items.size() - begin));
    server.post("runs/log-batch", {{"run_id", run}, {kind, json(std::vector<json>(first, first + count))}});
  }
}

std::string status_word(const RunView& view) {
  if (text_in(view.status, "state") == "running") return "RUNNING";
  const int code = exit_code_of(view);
  if (code == static_cast<int>(ExitCode::kPassed)) return "FINISHED";
  return code == static_cast<int>(ExitCode::kStopped) ? "KILLED" : "FAILED";
}

}  // namespace

std::string log_to_mlflow(const MlflowServer& server_of, const RunView& view) {
  Server server(server_of.url);
  const TrackedRun run = tracked_run(view);
  const std::vector<TrackedValue> values = values_of(view.record);
  json metrics = json::array(), parameters = json::array();
  for (const TrackedValue& value : values) metrics.push_back(metric(value));
  for (const auto& [key, value] : run.settings)
    parameters.push_back({{"key", key}, {"value", page::shortened(value, kLongestParameter)}});

  const json tags = {
      {{"key", "tercet.folder"}, {"value", std::filesystem::absolute(view.folder).string()}},
      {{"key", "tercet.state"}, {"value", text_in(view.status, "state")}},
      {{"key", "mlflow.note.content"}, {"value", page::shortened(text_in(view.status, "sentence"), 4000)}}};
  const json made = server.post("runs/create", {{"experiment_id", experiment_id(server, server_of.experiment)},
                                                {"run_name", run.name},
                                                {"start_time", milliseconds(run.began)},
                                                {"tags", tags}});
  const std::string id = id_in(made, "/run/info/run_id");
  log_parts(server, id, "params", parameters, kParametersAtOnce);
  log_parts(server, id, "metrics", metrics, kMetricsAtOnce);
  json end = {{"run_id", id}, {"status", status_word(view)}};
  if (end["status"] != "RUNNING") end["end_time"] = milliseconds(values.empty() ? run.began : values.back().wall_time);
  server.post("runs/update", end);
  return id;
}

}  // namespace tercet
