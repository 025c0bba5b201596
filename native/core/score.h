// Scores as integers. The score |w| * factor is a non-negative double, whose bits order like its
// value; so a score is a uint64_t here, and tensors of different types and factors compare exactly.
// A score grows with the key of its weight: a bound on scores is a bound on keys, and kernels only
// ever see keys.
#ifndef SECATEUR_CORE_SCORE_H_
#define SECATEUR_CORE_SCORE_H_

#include <cstdint>

#include "core/host_device.h"
#include "secateur/dtype.h"

namespace secateur {

inline constexpr uint64_t kInfinityScore = 0x7ff0000000000000;

// The value of a finite or infinite key.
SECATEUR_HD inline double KeyValue(DType dtype, uint64_t key) {
  switch (dtype) {
    case DType::kFloat32:
      return BitsAs<float>(static_cast<uint32_t>(key));
    case DType::kBFloat16:
      return BitsAs<float>(static_cast<uint32_t>(key) << 16);
    case DType::kFloat64:
      return BitsAs<double>(key);
    case DType::kFloat16:
      break;
  }
  const auto exponent = static_cast<int>(key >> 10);
  const auto fraction = static_cast<double>(key & 0x3ff);
  if (exponent == 0) return fraction * 0x1p-24;
  return (fraction + 1024) * BitsAs<double>(static_cast<uint64_t>(exponent - 25 + 1023) << 52);
}

class ScoreMap {
 public:
  SECATEUR_HD ScoreMap(DType dtype, double factor) : dtype_(dtype), factor_(factor) {}

  // Keys that are not finite score infinity; finite ones always less, so that they can't tie with
  // those.
  SECATEUR_HD uint64_t Score(uint64_t key) const {
    if (key >= InfinityKey(dtype_)) return kInfinityScore;
    const auto score = BitsAs<uint64_t>(KeyValue(dtype_, key) * factor_);
    return score < kInfinityScore ? score : kInfinityScore - 1;
  }

  // The smallest key whose score is at least `score`; InfinityKey(dtype) when no finite key has
  // one.
  uint64_t FirstKeyAtLeast(uint64_t score) const {
    uint64_t low = 0;
    uint64_t high = InfinityKey(dtype_);
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      if (Score(middle) >= score) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

 private:
  DType dtype_;
  double factor_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_SCORE_H_
