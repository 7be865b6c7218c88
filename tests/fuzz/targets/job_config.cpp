// A configuration, and what it is written as again.
#include <stdexcept>

#include "target.hpp"
#include "tercet/config/job_config.hpp"

namespace tercet::fuzz {
namespace {

std::vector<std::string> seeds() {
  JobConfig config;
  config.output = "run";
  config.model.path = "model";
  config.data.sources = {{"a.txt", 1.0, "text"}, {"b/*.jsonl", 2.5, "body"}};
  return {to_yaml(config),
          "name: mine\noutput: runs/mine\nmodel: {path: m}\ndata:\n  sources: [a.txt, {path: b.jsonl, weight: 2}]\n"
          "training:\n  tokens: 2e6\n  optimizer: adamw\n",
          "a: &x [1, 2]\nb: *x\nc: !!str 3\n? {k: v}\n: |\n  text\n---\nsecond: 1\n"};
}

void read(std::string_view input) {
  const JobConfig config = load_job_config(scratch_file("job.yaml", input), {});
  (void)fingerprint(config);
  const JobConfig again = load_job_config(scratch_file("again.yaml", to_yaml(config)), {});
  if (fingerprint(again) != fingerprint(config)) throw std::logic_error("a configuration changes when it is written");
}

const Registration kTarget({"job_config", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
