// Element types and their keys. The key of a float is its bits without the sign: unsigned order of
// keys is the order of magnitudes, -0 ranks as 0, and infinities and NaN rank above every finite
// value.
#ifndef SECATEUR_DTYPE_H_
#define SECATEUR_DTYPE_H_

#include <cstdint>

namespace secateur {

enum class DType : uint8_t { kFloat32, kFloat16, kBFloat16, kFloat64 };

constexpr int64_t ElementBytes(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
    case DType::kBFloat16:
      return 2;
    case DType::kFloat32:
      return 4;
    case DType::kFloat64:
      return 8;
  }
  return 0;
}

// The key of infinity: keys at or above it are not finite.
constexpr uint64_t InfinityKey(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return 0x7c00;
    case DType::kBFloat16:
      return 0x7f80;
    case DType::kFloat32:
      return 0x7f800000;
    case DType::kFloat64:
      return 0x7ff0000000000000;
  }
  return 0;
}

}  // namespace secateur

#endif  // SECATEUR_DTYPE_H_
