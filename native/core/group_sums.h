// The sums of squares of the blocks of grouped tensors: one read of the weights.
#ifndef SECATEUR_CORE_GROUP_SUMS_H_
#define SECATEUR_CORE_GROUP_SUMS_H_

#include <vector>

#include "secateur/groups.h"

namespace secateur {

// Of each block of each tensor, in double precision; empty for tensors that follow. A block with an
// infinity or a NaN in it has the sum infinity, or is an error.
std::vector<std::vector<double>> BlockSums(const std::vector<Tensor>& tensors,
                                           const std::vector<GroupedTensor>& grouped,
                                           const SelectOptions& options);

}  // namespace secateur

#endif  // SECATEUR_CORE_GROUP_SUMS_H_
