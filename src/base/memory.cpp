#include "tercet/base/memory.hpp"

#include <atomic>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace tercet {

void give_back_freed_memory(std::uint64_t bytes) {
  constexpr std::uint64_t kOften = std::uint64_t{8} << 20;
  static std::atomic<std::uint64_t> sum{0};
  const std::uint64_t before = sum.fetch_add(bytes);
  if (before / kOften == (before + bytes) / kOften) return;
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace tercet
