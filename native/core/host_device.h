// SECATEUR_HD marks functions that run on the CPU and, compiled by nvcc, on the GPU too: in C++17,
// which every nvcc of CUDA 12 takes from every CMake.
#ifndef SECATEUR_CORE_HOST_DEVICE_H_
#define SECATEUR_CORE_HOST_DEVICE_H_

#include <cstring>

#if defined(__CUDACC__)
#define SECATEUR_HD __host__ __device__
#else
#define SECATEUR_HD
#endif

namespace secateur {

// std::bit_cast.
template <class To, class From>
SECATEUR_HD inline To BitsAs(const From& value) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  memcpy(&bits, &value, sizeof(To));
  return bits;
}

}  // namespace secateur

#endif  // SECATEUR_CORE_HOST_DEVICE_H_
