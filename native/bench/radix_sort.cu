// CUB's part of the bench.
#include <cub/device/device_radix_sort.cuh>

#include "bench/radix_sort.h"

namespace secateur::bench {

int32_t SortMagnitudes(const uint32_t* in, uint32_t* out, int64_t count, void* temporary,
                       uint64_t* temporary_bytes, void* stream) {
  constexpr int kMagnitudeBits = 31;
  size_t bytes = *temporary_bytes;
  const cudaError_t failure = cub::DeviceRadixSort::SortKeys(
      temporary, bytes, in, out, count, 0, kMagnitudeBits, static_cast<cudaStream_t>(stream));
  *temporary_bytes = bytes;
  return static_cast<int32_t>(failure);
}

}  // namespace secateur::bench
