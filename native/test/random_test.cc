// Reproducible weights: the same bits for any number of threads, and the moments they should have.
#include "secateur/random.h"

#include <cmath>

#include "test.h"

namespace secateur::test {
namespace {

std::vector<float> Normal(size_t count, uint64_t seed, uint64_t stream, int threads) {
  std::vector<float> values(count);
  FillNormal(values, seed, stream, 0.5, threads);
  return values;
}

TEST(SameBitsForAnyThreads) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{7}, size_t{1000001}}) {
    EXPECT(Normal(count, 3, 4, 1) == Normal(count, 3, 4, 5));
  }
}

TEST(SeedAndStreamMatter) {
  EXPECT(Normal(100, 1, 0, 1) != Normal(100, 2, 0, 1));
  EXPECT(Normal(100, 1, 0, 1) != Normal(100, 1, 1, 1));
}

TEST(Moments) {
  const std::vector<float> values = Normal(1000000, 1, 2, 2);
  double sum = 0;
  double squares = 0;
  double fourths = 0;
  double neighbours = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    sum += value;
    squares += value * value;
    fourths += value * value * value * value;
    if (i > 0) neighbours += value * values[i - 1];
  }
  const auto count = static_cast<double>(values.size());
  EXPECT(std::abs(sum / count) < 0.003);
  EXPECT(std::abs(squares / count - 0.25) < 0.002);
  EXPECT(std::abs(fourths / count - 3 * 0.0625) < 0.003);
  EXPECT(std::abs(neighbours / count) < 0.002);
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
