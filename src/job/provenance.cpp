#include "provenance.hpp"

#include "tercet/job/commands.hpp"

namespace tercet::job {

nlohmann::json provenance_of(const JobConfig& config, const std::string& model_sha256) {
  nlohmann::json producer = build_information();
  producer.erase("gpus");
  return {{"model", config.model.path},
          {"model_sha256", model_sha256},
          {"config_fingerprint", fingerprint(config)},
          {"producer", producer}};
}

}  // namespace tercet::job
