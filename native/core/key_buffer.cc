#include "core/key_buffer.h"

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace secateur {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t bytes, size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

}  // namespace

KeyBuffer::KeyBuffer(int64_t bytes) {
  const auto size = static_cast<size_t>(bytes);
  const size_t alignment = size >= kHugePage ? kHugePage : kCacheLine;
  // At least one line: a request for nothing may be answered with null.
  const size_t rounded = RoundUp(size + (size == 0 ? 1 : 0), alignment);
  bytes_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded)));
  if (!bytes_) throw std::bad_alloc();
#if defined(__linux__)
  if (alignment == kHugePage)
    madvise(bytes_.get(), rounded, MADV_HUGEPAGE);  // a wish: failure changes nothing
#endif
}

}  // namespace secateur
