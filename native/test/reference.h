// Selection as its contract says it, in the plainest way: sort everything.
#ifndef SECATEUR_TEST_REFERENCE_H_
#define SECATEUR_TEST_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <vector>

#include "core/score.h"
#include "secateur/select.h"

namespace secateur::test {

struct Weights {
  DType dtype = DType::kFloat32;
  double factor = 1;
  std::vector<std::byte> bytes;

  int64_t count() const { return static_cast<int64_t>(bytes.size()) / ElementBytes(dtype); }
  uint64_t Key(int64_t index) const {
    const int64_t element = ElementBytes(dtype);
    uint64_t bits = 0;
    std::memcpy(&bits, bytes.data() + index * element, static_cast<size_t>(element));
    return bits & (~uint64_t{0} >> (65 - 8 * element));
  }
};

using Kept = std::vector<std::vector<bool>>;  // [tensor][index]

inline void RemoveLowest(const std::vector<Weights>& tensors, const std::vector<size_t>& group,
                         int64_t removed, Kept& kept) {
  // (score, tensor, index) with ties kept in order: the last of equal scores go first.
  std::vector<std::tuple<uint64_t, int64_t, int64_t>> ranked;
  for (size_t t : group) {
    const ScoreMap map(tensors[t].dtype, tensors[t].factor);
    for (int64_t i = 0; i < tensors[t].count(); ++i) {
      ranked.emplace_back(map.Score(tensors[t].Key(i)), -static_cast<int64_t>(t), -i);
    }
  }
  std::sort(ranked.begin(), ranked.end());
  for (int64_t r = 0; r < removed; ++r)
    kept[-std::get<1>(ranked[r])][-std::get<2>(ranked[r])] = false;
}

inline Kept ReferenceKept(const std::vector<Weights>& tensors, double ratio, Scope scope) {
  Kept kept;
  std::vector<size_t> all;
  int64_t total = 0;
  for (size_t t = 0; t < tensors.size(); ++t) {
    kept.emplace_back(tensors[t].count(), true);
    all.push_back(t);
    total += tensors[t].count();
  }
  if (scope == Scope::kGlobal) {
    RemoveLowest(tensors, all, std::llround(ratio * static_cast<double>(total)), kept);
  } else {
    for (size_t t : all) {
      RemoveLowest(tensors, {t}, std::llround(ratio * static_cast<double>(tensors[t].count())),
                   kept);
    }
  }
  return kept;
}

// What the thresholds say, weight by weight.
inline Kept KeptBy(const std::vector<Weights>& tensors, const Selection& selection) {
  Kept kept;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const TensorThreshold& threshold = selection.tensors[t];
    std::vector<bool>& mask = kept.emplace_back();
    for (int64_t i = 0; i < tensors[t].count(); ++i) {
      const uint64_t key = tensors[t].Key(i);
      mask.push_back(key >= threshold.tie_end ||
                     (key >= threshold.tie_begin && i < threshold.tie_cut));
    }
  }
  return kept;
}

}  // namespace secateur::test

#endif  // SECATEUR_TEST_REFERENCE_H_
