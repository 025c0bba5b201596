// Reproducible pseudo-random weights: every value is a function of (seed, stream, index) alone, so
// any number of threads gives the same bits.
#ifndef SECATEUR_RANDOM_H_
#define SECATEUR_RANDOM_H_

#include <cstdint>
#include <span>

namespace secateur {

// Normal deviates of mean 0 and the given standard deviation, by the Box-Muller transform.
void FillNormal(std::span<float> out, uint64_t seed, uint64_t stream, double deviation,
                int threads);

// A uniform number in (0, 1), a multiple of 2^-53 away from 0.
double UniformAt(uint64_t seed, uint64_t stream, uint64_t index);

}  // namespace secateur

#endif  // SECATEUR_RANDOM_H_
