// How the configuration's words about formats apply to the parameters of a model.
#pragma once

#include <string>
#include <vector>

#include "tercet/config/job_config.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/quant/format.hpp"

namespace tercet::job {

struct ChosenFormat {
  FormatSpec spec;
  std::string group_key;  // of the setting that its group size comes from, e.g. "quantization.layers[0].group_size"
};

// As all have it: `format` inside the blocks, `embedding_bits` and `head_bits` for the tables, fp16 for the rest.
ChosenFormat usual_format(const QuantizationSection& settings, const Parameter& parameter);
// As `row`, which is the item `key` of a list, changes it. For a matrix inside the blocks, an embedding or a head.
ChosenFormat format_by_row(const QuantizationSection& settings, const LayerFormat& row, const std::string& key,
                           const Parameter& parameter);
// An embedding or head of so many bits, as `embedding_bits` says them.
FormatSpec table_format(const std::string& bits, std::int64_t group_size);

bool is_table(Role role);  // embedding or head
bool matches(const std::string& pattern, const std::string& name);
// Whether `row` names this matrix. One without `match` and `role` names all matrices inside the blocks.
bool names(const LayerFormat& row, const Parameter& parameter);
// "near it are 'a', 'b'": those of `names` that a pattern which names none of them may have meant.
std::string near_names(const std::string& pattern, const std::vector<std::string>& names);
// Throws ConfigError, with the nearest names, for the first of `rows` that names no matrix. `key`: of the list.
void check_names(const std::string& key, const std::vector<LayerFormat>& rows,
                 const std::vector<Parameter>& parameters);

// Throws ConfigError, with a size that works, where a group does not divide the width of its matrix and must.
// `formats` has an entry for each parameter.
void check_groups(const std::vector<ChosenFormat>& formats, const std::vector<Parameter>& parameters);

// The multiple of 4 from 8 up that divides `width` and is nearest to `wanted`; 0: there is none.
std::int64_t nearest_divisor(std::int64_t width, std::int64_t wanted);

std::vector<std::int64_t> output_first_shape(const Parameter& parameter);  // [out, in] of a matrix

// "int3", "int3 asymmetric", "int3 by 32", "int4 by channel": what differs from `usual` is said.
std::string short_name(const FormatSpec& spec, const FormatSpec& usual);

}  // namespace tercet::job
