// A run's figures on an MLflow tracking server, by its REST API (https://mlflow.org/docs/latest/rest-api.html).
#pragma once

#include <string>

#include "tercet/report/run_view.hpp"

namespace tercet {

struct MlflowServer {
  std::string url;  // http:// or https://, as MLFLOW_TRACKING_URI has it
  std::string experiment = "tercet";
};

// Makes the experiment if need be, and a new run in it: settings as parameters, the values of track/trackers.hpp as
// metrics, and how the run ended. As MLflow's own client does, uses MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME
// and MLFLOW_TRACKING_PASSWORD, where they are set. Returns the id of the run there. Throws ConfigError for a URL that
// is none, StoreError for a server that does not answer or refuses.
std::string log_to_mlflow(const MlflowServer& server, const RunView& view);

}  // namespace tercet
