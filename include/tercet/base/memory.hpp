// How the C library keeps memory that was freed.
#pragma once

#include <cstdint>

namespace tercet {

// Says that `bytes` were allocated and will be freed soon. Whenever they have come to 8 MB, all pages that are free by
// then go back to the system. By default the C library keeps freed pieces for later ones, and small ones that come
// between cut them up: a process that makes and drops large tensors again and again grows with all that it has ever
// made. Without glibc it does nothing.
void give_back_freed_memory(std::uint64_t bytes);

}  // namespace tercet
