#include "secateur/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/parallel.h"
#include "core/uniform.h"

namespace secateur {

double UniformAt(uint64_t seed, uint64_t stream, uint64_t index) {
  return UniformOf(seed, stream, index);
}

void FillNormal(std::span<float> out, uint64_t seed, uint64_t stream, double deviation,
                int threads) {
  constexpr int64_t kPairsPerItem = 32768;
  const auto count = static_cast<int64_t>(out.size());
  const int64_t pairs = (count + 1) / 2;
  const int workers = ThreadsFor(count * 4, threads);
  ParallelFor(workers, (pairs + kPairsPerItem - 1) / kPairsPerItem, [&](int64_t item, int) {
    const int64_t end = std::min(pairs, (item + 1) * kPairsPerItem);
    for (int64_t pair = item * kPairsPerItem; pair < end; ++pair) {
      const auto index = static_cast<uint64_t>(2 * pair);
      const double radius = deviation * std::sqrt(-2 * std::log(UniformAt(seed, stream, index)));
      const double angle = 2 * std::numbers::pi * UniformAt(seed, stream, index + 1);
      out[2 * pair] = static_cast<float>(radius * std::cos(angle));
      if (2 * pair + 1 < count) out[2 * pair + 1] = static_cast<float>(radius * std::sin(angle));
    }
  });
}

}  // namespace secateur
