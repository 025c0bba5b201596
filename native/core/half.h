// float16 in software: exact, on every processor alike.
#ifndef SECATEUR_CORE_HALF_H_
#define SECATEUR_CORE_HALF_H_

#include <bit>
#include <cstdint>

namespace secateur {

// Nearest, ties to even; beyond 65504 infinity; NaN stays NaN.
inline uint16_t FloatToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t key = bits & 0x7fffffff;
  if (key > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (key >= 0x47800000) return static_cast<uint16_t>(sign | 0x7c00);
  if (key < 0x38800000) {
    // Adding 0.5 leaves the multiple of 2^-24 in the low bits, rounded as the processor rounds.
    const float shifted = std::bit_cast<float>(key) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t rounded = key + 0xfff + ((key >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000U} << 16;
  const uint32_t key = half & 0x7fffU;
  if (key >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (key & 0x3ff) << 13);
  if (key >= 0x400) return std::bit_cast<float>(sign | ((key << 13) + 0x38000000));
  const float magnitude = static_cast<float>(key) * 0x1p-24F;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

}  // namespace secateur

#endif  // SECATEUR_CORE_HALF_H_
