// How many weights of each chunk lie below a threshold, and at it: counted from what a pass has
// left, without reading the weights again.
#ifndef SECATEUR_CORE_TALLY_H_
#define SECATEUR_CORE_TALLY_H_

#include <cstdint>
#include <vector>

#include "core/rank.h"

namespace secateur {

struct Tally {
  int64_t below;
  int64_t ties;

  Tally& operator+=(const Tally& other) {
    below += other.below;
    ties += other.ties;
    return *this;
  }
};

// [threshold][chunk], thresholds in the order of `found`.
std::vector<std::vector<Tally>> TallyAll(const PassContext& context,
                                         const std::vector<RankedWeight>& found);

}  // namespace secateur

#endif  // SECATEUR_CORE_TALLY_H_
