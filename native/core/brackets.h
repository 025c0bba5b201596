// The first guess at where ranks lie: brackets from a small sample.
#ifndef SECATEUR_CORE_BRACKETS_H_
#define SECATEUR_CORE_BRACKETS_H_

#include <cstdint>
#include <vector>

#include "core/cuts.h"
#include "core/reader.h"

namespace secateur {

// A bracket for each rank (0 = smallest) of the `count` weights; it misses about once in a hundred
// thousand times, or once in some thousand when there are many ranks, since then a miss costs less
// than wide brackets do.
std::vector<Bracket> BracketsFromSample(const Reader& reader, int64_t count,
                                        const std::vector<int64_t>& ranks);

}  // namespace secateur

#endif  // SECATEUR_CORE_BRACKETS_H_
