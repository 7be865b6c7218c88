// How fast a packed model generates beside its original, and what each of them writes.
#pragma once

#include <cstdint>
#include <string>

#include "tercet/config/job_config.hpp"
#include "tercet/eval/evaluate.hpp"
#include "tercet/gate/decode_speed.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/text/tokenizer.hpp"
#include "tercet/train/student.hpp"

namespace tercet::job {

// Why the packed form of `student` cannot be timed on packed kernels: it takes no int8 inputs, or a quantized matrix
// inside the blocks has no kernel. Empty: it can. What the configuration keeps in fp16 is no reason.
std::string speed_refusal(const Student& student, const std::string& device);

// Both take turns, for about `seconds`, on the device where they are.
DecodeSpeed measure_decode_speed(const Decoder& packed, const Decoder& original, double seconds);

// What samples go on from: report.sample_prompt, or the beginning of the first held-out window up to the end of its
// document. "": that text has no beginning that can be shown.
std::string sample_prompt(const ReportSection& report, const Windows& windows, const Tokenizer& tokenizer);

// Throws ConfigError where report.sample_prompt is not UTF-8, has no token, or leaves the model no position.
void check_sample_prompt(const ReportSection& report, const Tokenizer& tokenizer, const ModelConfig& model);

}  // namespace tercet::job
