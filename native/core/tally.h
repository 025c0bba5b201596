// How many weights of each chunk lie below a threshold, and at it: counted from what a pass has
// left, without reading the weights again.
#ifndef SECATEUR_CORE_TALLY_H_
#define SECATEUR_CORE_TALLY_H_

#include <vector>

#include "core/reader.h"

namespace secateur {

// [threshold][chunk], thresholds in the order of `found`.
std::vector<std::vector<Tally>> TallyAll(const PassContext& context,
                                         const std::vector<RankedWeight>& found);

}  // namespace secateur

#endif  // SECATEUR_CORE_TALLY_H_
