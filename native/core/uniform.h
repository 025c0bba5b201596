// Uniform numbers that are functions of (seed, stream, index), on the CPU and on a GPU.
#ifndef SECATEUR_CORE_UNIFORM_H_
#define SECATEUR_CORE_UNIFORM_H_

#include <cstdint>

#include "core/host_device.h"

namespace secateur {

SECATEUR_HD inline uint64_t MixBits(uint64_t x) {  // the finaliser of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// In (0, 1), a multiple of 2^-53 away from 0.
SECATEUR_HD inline double UniformOf(uint64_t seed, uint64_t stream, uint64_t index) {
  const uint64_t base =
      MixBits(seed + 0x9e3779b97f4a7c15) ^ MixBits(stream * 0xd1342543de82ef95 + 1);
  const uint64_t bits = MixBits(base + (index + 1) * 0x9e3779b97f4a7c15);
  return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
}

}  // namespace secateur

#endif  // SECATEUR_CORE_UNIFORM_H_
