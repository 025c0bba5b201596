#include "core/distributions.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "core/parallel.h"
#include "secateur/error.h"
#include "secateur/random.h"

namespace secateur {
namespace {

constexpr int64_t kPiece = int64_t{1} << 16;  // elements

double Normal(uint64_t seed, uint64_t index) {
  const double radius = std::sqrt(-2 * std::log(UniformAt(seed, 0, index)));
  return radius * std::cos(2 * std::numbers::pi * UniformAt(seed, 1, index));
}

// Rounds towards zero: good enough for weights to measure with.
uint64_t BitsOf(double value, DType dtype) {
  const auto single = std::bit_cast<uint32_t>(static_cast<float>(value));
  switch (dtype) {
    case DType::kFloat64:
      return std::bit_cast<uint64_t>(value);
    case DType::kBFloat16:
      return single >> 16;
    case DType::kFloat32:
      return single;
    case DType::kFloat16:
      break;
  }
  const uint32_t sign = single >> 16 & 0x8000;
  const int exponent = static_cast<int>(single >> 23 & 0xff) - 127 + 15;
  if (exponent <= 0) return sign;
  if (exponent >= 31) return sign | 0x7bff;
  return sign | static_cast<uint32_t>(exponent) << 10 | (single >> 13 & 0x3ff);
}

}  // namespace

Distribution DistributionOf(const std::string& name) {
  if (name == "normal") return Normal;
  if (name == "uniform")
    return [](uint64_t seed, uint64_t i) { return 2 * UniformAt(seed, 0, i) - 1; };
  if (name == "constant") return [](uint64_t, uint64_t) { return 0.5; };
  if (name == "zeros90") {
    return [](uint64_t seed, uint64_t i) {
      return UniformAt(seed, 2, i) < 0.9 ? 0.0 : Normal(seed, i);
    };
  }
  if (name == "heavy") {
    return [](uint64_t seed, uint64_t i) { return std::tan(3.1 * (UniformAt(seed, 0, i) - 0.5)); };
  }
  if (name == "few") {
    return
        [](uint64_t seed, uint64_t i) { return std::floor(16 * UniformAt(seed, 0, i)) / 16 - 0.5; };
  }
  throw Error(
      "INVALID_OPTION",
      "Expected distribution to be one of normal, uniform, constant, zeros90, heavy, few, got \"" +
          name + "\"");
}

void FillFrom(Distribution distribution, uint64_t seed, DType dtype, int64_t first, int64_t count,
              std::byte* out, int threads) {
  const int64_t element = ElementBytes(dtype);
  ParallelFor(ThreadsFor(count * element, threads), (count + kPiece - 1) / kPiece,
              [&](int64_t piece, int) {
                const int64_t end = std::min((piece + 1) * kPiece, count);
                for (int64_t i = piece * kPiece; i < end; ++i) {
                  const double value = distribution(seed, static_cast<uint64_t>(first + i));
                  const uint64_t bits = BitsOf(value, dtype);
                  std::memcpy(out + i * element, &bits, static_cast<size_t>(element));
                }
              });
}

}  // namespace secateur
