// Preloaded (LD_PRELOAD) into a program: the most bytes that it ever had from malloc at once, exactly, whatever else
// the machine does meanwhile. The figure is kept, as eight bytes, in the file that TERCET_HEAP_PEAK names, which must
// be there; of a program that starts others, it is that of the largest. Without the variable nothing is kept.
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" {  // glibc's own, under the names that stay when malloc is replaced
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* block);
}

namespace {

std::atomic<std::int64_t> live{0};
std::atomic<std::atomic<std::int64_t>*> peak{nullptr};  // of the mapped file

[[gnu::constructor]] void map_peak() {
  const char* file = std::getenv("TERCET_HEAP_PEAK");
  const int handle = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
  if (handle < 0) return;
  void* page = mmap(nullptr, sizeof(std::int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
  close(handle);
  if (page != MAP_FAILED) peak = static_cast<std::atomic<std::int64_t>*>(page);
}

void* taken(void* block) {
  const auto bytes = static_cast<std::int64_t>(malloc_usable_size(block));  // 0 of no block
  const std::int64_t now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (std::atomic<std::int64_t>* most = peak.load(std::memory_order_relaxed)) {
    std::int64_t seen = most->load(std::memory_order_relaxed);
    while (now > seen && !most->compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
    }
  }
  return block;
}

void given_back(void* block) {
  live.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(block)), std::memory_order_relaxed);
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  return taken(__libc_malloc(size));
}
void* calloc(std::size_t count, std::size_t size) {
  return taken(__libc_calloc(count, size));
}
void* memalign(std::size_t alignment, std::size_t size) {
  return taken(__libc_memalign(alignment, size));
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return taken(__libc_memalign(alignment, size));
}

int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  *block = taken(__libc_memalign(alignment, size));
  return *block ? 0 : ENOMEM;
}

void* realloc(void* block, std::size_t size) {
  const auto before = static_cast<std::int64_t>(malloc_usable_size(block));
  void* moved = __libc_realloc(block, size);
  if (!moved && size > 0) return nullptr;  // the old block stays
  live.fetch_sub(before, std::memory_order_relaxed);
  return taken(moved);
}

void free(void* block) {
  given_back(block);
  __libc_free(block);
}
}
