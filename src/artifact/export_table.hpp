// The exports, each defined in the file of its name.
#pragma once

#include "tercet/artifact/export_format.hpp"

namespace tercet {

const ExportFormat& gguf_export();                // gguf_export.cpp
const ExportFormat& hf_bitnet_export();           // hf_bitnet.cpp
const ExportFormat& compressed_tensors_export();  // compressed_tensors.cpp
const ExportFormat& kernels_export();             // kernels_export.cpp

}  // namespace tercet
