// What selections of weights and of groups have in common.
#ifndef SECATEUR_CORE_SELECT_RULES_H_
#define SECATEUR_CORE_SELECT_RULES_H_

#include <cstdint>
#include <vector>

#include "secateur/select.h"

namespace secateur {

// Throws INVALID_OPTION for options and factors out of range, INTERNAL for runs that don't add up.
void ValidateSelect(const std::vector<Tensor>& tensors, const SelectOptions& options);

// The most weights that may be removed from a tensor: all but the fewest k with k / count >=
// min_keep.
int64_t MostRemoved(int64_t count, double min_keep);

}  // namespace secateur

#endif  // SECATEUR_CORE_SELECT_RULES_H_
