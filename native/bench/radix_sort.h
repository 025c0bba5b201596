// The peer of selection on a GPU: CUB's radix sort of the magnitudes, device-wide. Bench only; no
// part of the library.
#ifndef SECATEUR_BENCH_RADIX_SORT_H_
#define SECATEUR_BENCH_RADIX_SORT_H_

#include <cstdint>

namespace secateur::bench {

// Sorts `count` float32 by their bits without the sign, into `out`; both in device memory. With
// `temporary` null only sets `temporary_bytes`. Returns 0, or a number of CUDA's.
int32_t SortMagnitudes(const uint32_t* in, uint32_t* out, int64_t count, void* temporary,
                       uint64_t* temporary_bytes, void* stream);

}  // namespace secateur::bench

#endif  // SECATEUR_BENCH_RADIX_SORT_H_
