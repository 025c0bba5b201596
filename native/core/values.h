// The values of ranks among finite keys in memory: a sample, or what a pass has stored.
#ifndef SECATEUR_CORE_VALUES_H_
#define SECATEUR_CORE_VALUES_H_

#include <cstdint>
#include <vector>

#include "core/class_pass.h"

namespace secateur {

// In the key domain; ranks (0 = smallest) in any order. Sorts few keys, and searches among many as
// FindRanks does.
std::vector<uint64_t> ValuesOfRanks(const PassContext& context, int64_t count,
                                    const std::vector<int64_t>& ranks);

// The same, by sorting whatever the number.
std::vector<uint64_t> SortedValues(const PassContext& context, int64_t count,
                                   const std::vector<int64_t>& ranks);

}  // namespace secateur

#endif  // SECATEUR_CORE_VALUES_H_
