#include "core/elements.h"

#include <algorithm>
#include <cstring>

#include "core/chunks.h"
#include "core/key_buffer.h"
#include "secateur/error.h"

namespace secateur {

const std::byte* ReadElements(const Tensor& tensor, int64_t first, int64_t count,
                              std::byte* scratch) {
  const int64_t element = ElementBytes(tensor.dtype);
  const int64_t bytes = count * element;
  int64_t before = 0;  // bytes of the runs passed
  int64_t done = 0;
  for (const Run& run : tensor.runs) {
    const int64_t offset = first * element + done - before;
    before += run.bytes;
    if (offset >= run.bytes) continue;
    const int64_t part = std::min(bytes - done, run.bytes - offset);
    const std::byte* read = run.source->Read(run.offset + offset, part, scratch + done);
    const bool aligned = reinterpret_cast<uintptr_t>(read) % static_cast<uint64_t>(element) == 0;
    if (part == bytes && aligned) return read;
    if (read != scratch + done) std::memcpy(scratch + done, read, static_cast<size_t>(part));
    done += part;
    if (done == bytes) break;
  }
  return scratch;
}

uint64_t KeyAt(DType dtype, const std::byte* elements, int64_t index) {
  const int64_t element = ElementBytes(dtype);
  uint64_t bits = 0;
  std::memcpy(&bits, elements + index * element, static_cast<size_t>(element));
  return bits & (~uint64_t{0} >> (65 - 8 * element));
}

void ThrowNonfiniteAt(const Tensor& tensor, int64_t index, uint64_t key) {
  throw Error("NONFINITE_WEIGHT",
              "Expected finite weights, got " +
                  std::string(key == InfinityKey(tensor.dtype) ? "infinity" : "NaN") +
                  " in tensor \"" + tensor.name + "\" at index " + std::to_string(index) +
                  "; allow non-finite weights to keep them as they are")
      .WithElement(tensor.name, index);
}

void ThrowIfNonfinite(const Tensor& tensor) {
  const KeyBuffer scratch(kChunkBytes);
  const int64_t step = kChunkBytes / ElementBytes(tensor.dtype);
  for (int64_t first = 0; first < tensor.count; first += step) {
    const int64_t count = std::min(step, tensor.count - first);
    const std::byte* elements = ReadElements(tensor, first, count, scratch.data());
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t key = KeyAt(tensor.dtype, elements, i);
      if (key >= InfinityKey(tensor.dtype)) ThrowNonfiniteAt(tensor, first + i, key);
    }
  }
}

}  // namespace secateur
