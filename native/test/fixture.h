// Tensors in memory as selections take them, filled from a distribution.
#ifndef SECATEUR_TEST_FIXTURE_H_
#define SECATEUR_TEST_FIXTURE_H_

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "data.h"
#include "reference.h"

namespace secateur::test {

struct Fixture {
  std::vector<Weights> weights;
  std::deque<MemorySource> sources;
  std::vector<Tensor> tensors;

  void Add(Weights tensor) { weights.push_back(std::move(tensor)); }
  void Bind() {
    for (size_t t = 0; t < weights.size(); ++t) {
      const MemorySource& source = sources.emplace_back(weights[t].bytes.data());
      tensors.push_back({"w" + std::to_string(t),
                         weights[t].dtype,
                         weights[t].factor,
                         weights[t].count(),
                         {{&source, 0, static_cast<int64_t>(weights[t].bytes.size())}}});
    }
  }
};

inline Fixture MakeFixture(const std::vector<std::pair<DType, int64_t>>& shapes,
                           const std::string& distribution,
                           const std::vector<double>& factors = {}) {
  Fixture fixture;
  for (size_t t = 0; t < shapes.size(); ++t) {
    const auto [dtype, count] = shapes[t];
    const std::vector<double> values =
        MakeValues(distribution, count, static_cast<uint32_t>(t + 1));
    fixture.Add({dtype, factors.empty() ? 1 : factors[t], ToBytes(values, dtype)});
  }
  fixture.Bind();
  return fixture;
}

}  // namespace secateur::test

#endif  // SECATEUR_TEST_FIXTURE_H_
