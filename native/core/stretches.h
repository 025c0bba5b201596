// A store's tensors cut into stretches of fixed length: the unit of parallel work, and of sums,
// whose order must not depend on the number of threads.
#ifndef SECATEUR_CORE_STRETCHES_H_
#define SECATEUR_CORE_STRETCHES_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "secateur/parameter_store.h"

namespace secateur {

inline constexpr int64_t kStretch = int64_t{32} << 10;  // elements
inline constexpr int64_t kBlock = 1024;  // elements that stay in the first-level cache

struct Stretch {
  size_t tensor;
  int64_t first;
  int64_t count;
};

// Which tensors of a store: all, those that are pruned, or those that masks apply to.
enum class Which : uint8_t { kAll, kPruned, kMasked };

inline bool Includes(Which which, const StoreTensor& tensor) {
  return which == Which::kAll || tensor.prune || (which == Which::kMasked && tensor.follow);
}

inline std::vector<Stretch> MakeStretches(const std::vector<StoreTensor>& tensors, Which which) {
  std::vector<Stretch> stretches;
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (!Includes(which, tensors[t])) continue;
    for (int64_t first = 0; first < tensors[t].count; first += kStretch) {
      stretches.push_back({t, first, std::min(kStretch, tensors[t].count - first)});
    }
  }
  return stretches;
}

// Calls body(first, count) for the blocks of a stretch.
template <class Body>
void ForBlocks(const Stretch& stretch, const Body& body) {
  for (int64_t done = 0; done < stretch.count; done += kBlock) {
    body(stretch.first + done, std::min(kBlock, stretch.count - done));
  }
}

// The key from which weights are kept, before a threshold's cut and after it.
inline uint32_t BoundOf(uint64_t key) {
  return static_cast<uint32_t>(std::min<uint64_t>(key, 0x7fffffff));
}

// Calls body(offset, count, bound) for the parts of [first, first + count) that have one bound.
template <class Body>
void ForBounds(const TensorThreshold& threshold, int64_t first, int64_t count, const Body& body) {
  const int64_t before = std::clamp<int64_t>(threshold.tie_cut - first, 0, count);
  if (before > 0) body(int64_t{0}, before, BoundOf(threshold.tie_begin));
  if (before < count) body(before, count - before, BoundOf(threshold.tie_end));
}

}  // namespace secateur

#endif  // SECATEUR_CORE_STRETCHES_H_
