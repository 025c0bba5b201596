// Weights for tests and benches: the distributions that selection has to cope with, from a fixed
// seed.
#ifndef SECATEUR_TEST_DATA_H_
#define SECATEUR_TEST_DATA_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/score.h"
#include "secateur/dtype.h"

namespace secateur::test {

inline const std::vector<std::string>& Distributions() {
  static const std::vector<std::string> names = {"normal", "uniform",  "constant",    "zeros90",
                                                 "heavy",  "few",      "sorted",      "reversed",
                                                 "zero",   "denormal", "same-prefix", "periodic"};
  return names;
}

inline std::vector<double> MakeValues(const std::string& distribution, int64_t count,
                                      uint32_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> values(count);
  for (int64_t i = 0; i < count; ++i) {
    double& value = values[i];
    if (distribution == "uniform")
      value = uniform(random);
    else if (distribution == "constant")
      value = 0.5;
    else if (distribution == "zeros90")
      value = random() % 10 ? 0 : normal(random);
    else if (distribution == "heavy")
      value = std::tan(1.5 * uniform(random));
    else if (distribution == "few")
      value = static_cast<double>(random() % 16) / 8 - 1;
    else if (distribution == "zero")
      value = random() % 2 ? 0.0 : -0.0;
    else if (distribution == "denormal")
      value = normal(random) * 1e-40;
    else if (distribution == "same-prefix")
      value = 1 + uniform(random) * 1e-5;
    else if (distribution == "periodic")
      value = static_cast<double>(i % 8) + normal(random) * 0.01;
    else
      value = normal(random);
  }
  if (distribution == "sorted" || distribution == "reversed") {
    std::sort(values.begin(), values.end(),
              [](double a, double b) { return std::abs(a) < std::abs(b); });
    if (distribution == "reversed") std::reverse(values.begin(), values.end());
  }
  return values;
}

// The nearest float16, halves to even; only for finite values within range.
inline uint16_t ToHalf(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::abs(value);
  uint16_t low = 0;
  uint16_t high = 0x7bff;
  while (low < high) {  // the largest half that is not above the magnitude
    const auto middle = static_cast<uint16_t>((low + high + 1) / 2);
    if (KeyValue(DType::kFloat16, middle) <= magnitude)
      low = middle;
    else
      high = static_cast<uint16_t>(middle - 1);
  }
  return sign | low;
}

// Elements of `dtype`, as bytes.
inline std::vector<std::byte> ToBytes(const std::vector<double>& values, DType dtype) {
  const auto element = static_cast<size_t>(ElementBytes(dtype));
  std::vector<std::byte> bytes(values.size() * element);
  for (size_t i = 0; i < values.size(); ++i) {
    uint64_t bits = 0;
    const auto single = static_cast<float>(values[i]);
    if (dtype == DType::kFloat64)
      bits = std::bit_cast<uint64_t>(values[i]);
    else if (dtype == DType::kFloat16)
      bits = ToHalf(values[i]);
    else if (dtype == DType::kBFloat16)
      bits = std::bit_cast<uint32_t>(single) >> 16;
    else
      bits = std::bit_cast<uint32_t>(single);
    std::memcpy(bytes.data() + i * element, &bits, element);
  }
  return bytes;
}

}  // namespace secateur::test

#endif  // SECATEUR_TEST_DATA_H_
