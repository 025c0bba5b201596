// Weights to measure with: element i of a named distribution, decided by a seed.
#ifndef SECATEUR_CORE_DISTRIBUTIONS_H_
#define SECATEUR_CORE_DISTRIBUTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "secateur/dtype.h"

namespace secateur {

using Distribution = double (*)(uint64_t seed, uint64_t index);

// Those of SelectMeasureOptions. Throws Error INVALID_OPTION for another name.
Distribution DistributionOf(const std::string& name);

// Writes elements [first, first + count) to `out`, by threads (0: all cores).
void FillFrom(Distribution distribution, uint64_t seed, DType dtype, int64_t first, int64_t count,
              std::byte* out, int threads);

}  // namespace secateur

#endif  // SECATEUR_CORE_DISTRIBUTIONS_H_
