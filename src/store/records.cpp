#include "store/records.hpp"

namespace tercet::store {

nlohmann::json to_json(const RunRecord& run) {
  return {{"metrics", to_json_table(run.metrics)}, {"wall_times", run.wall_times},
          {"layers", to_json_table(run.layers)},   {"stages", to_json_table(run.stages)},
          {"gates", to_json_table(run.gates)},     {"ranks", to_json_table(run.ranks)},
          {"provenance", run.provenance},          {"attempts", to_json_table(run.attempts)}};
}

}  // namespace tercet::store
