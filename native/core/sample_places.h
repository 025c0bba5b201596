// Where a sample looks: functions of the sizes alone, the same on the CPU and on a GPU.
#ifndef SECATEUR_CORE_SAMPLE_PLACES_H_
#define SECATEUR_CORE_SAMPLE_PLACES_H_

#include <cstdint>

#include "core/host_device.h"
#include "core/uniform.h"

namespace secateur {

// Weights: one or two cache lines of one page, whose look-up is what costs.
inline constexpr int64_t kSampleBlock = 16;

// Where block `block` of `blocks` begins: somewhere in its stretch of the group.
SECATEUR_HD inline int64_t SamplePosition(int64_t block, int64_t blocks, int64_t count) {
  const double stretch = static_cast<double>(count) / static_cast<double>(blocks);
  const double jitter = UniformOf(0, 0, static_cast<uint64_t>(block));
  const auto position = static_cast<int64_t>((static_cast<double>(block) + jitter) * stretch);
  return position < count - 1 ? position : count - 1;
}

// Where a block that was to begin at `position` begins in a stretch of `count` elements.
SECATEUR_HD inline int64_t SampleStart(int64_t position, int64_t count) {
  const int64_t last = count > kSampleBlock ? count - kSampleBlock : 0;
  return position < last ? position : last;
}

// Which element is the i-th of that block. A stretch shorter than a block is repeated: it is a
// small part of the group all the same.
SECATEUR_HD inline int64_t SampleIndex(int64_t position, int64_t count, int64_t i) {
  return SampleStart(position, count) + (count < kSampleBlock ? i % count : i);
}

}  // namespace secateur

#endif  // SECATEUR_CORE_SAMPLE_PLACES_H_
