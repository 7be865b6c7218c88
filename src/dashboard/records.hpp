// The records of a run, put together from what is found at each look.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tercet/store/run_file.hpp"

namespace tercet::dashboard {

class Records {
 public:
  void take(const RunRecord& more);
  void clear();
  RunRecord ordered() const;  // as readers of a whole run give it: metrics by name

 private:
  struct Values {
    std::vector<MetricRecord> metrics;
    std::vector<double> wall_times;
  };
  std::map<std::string, Values> series_;
  RunRecord rest_;
};

}  // namespace tercet::dashboard
