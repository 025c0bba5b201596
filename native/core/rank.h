// The weights of given ranks in a group of tensors, exactly: a sample brackets each rank, one pass
// over the weights counts what lies outside the brackets and stores what lies inside, and the
// answer is found among the stored keys, which are a smaller problem of the same kind. A bracket
// that misses, or holds too much, is narrowed by what the pass has counted, and the pass repeated.
#ifndef SECATEUR_CORE_RANK_H_
#define SECATEUR_CORE_RANK_H_

#include <cstdint>
#include <vector>

#include "core/reader.h"

namespace secateur {

// For each of `removed` (how many weights go, in [0, finite weights]): the first weight that stays,
// or the last that goes when none stays. `count` > 0 is the number of weights. Throws
// NONFINITE_WEIGHT unless `allow_nonfinite`.
std::vector<RankedWeight> FindRanks(const Reader& reader, int64_t count,
                                    const std::vector<int64_t>& removed, bool allow_nonfinite);

}  // namespace secateur

#endif  // SECATEUR_CORE_RANK_H_
