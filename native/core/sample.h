// A small deterministic sample of the weights of a group.
#ifndef SECATEUR_CORE_SAMPLE_H_
#define SECATEUR_CORE_SAMPLE_H_

#include <cstdint>
#include <vector>

#include "core/key_buffer.h"
#include "core/key_domain.h"
#include "secateur/tensor.h"

namespace secateur {

struct Sample {
  KeyBuffer buffer;  // values of the domain, as keys of domain.dtype()
  int64_t count;
};

// How many weights to sample of `count`: few enough to cost nothing beside a pass over all, many
// enough that the bracket they give holds about a hundredth of the weights.
int64_t SampleSize(int64_t count);

// Weights in short neighbouring blocks, one at a place picked by a hash in each of equal stretches
// of the group, so that sorted and periodic weights are met fairly. The same weights whatever the
// thread count.
Sample TakeSample(const std::vector<Tensor>& tensors, const KeyDomain& domain, int64_t count,
                  int threads);

// Ranks in a sorted sample between which the element of rank `rank` of `count` lies, but for bad
// luck of about `deviations` standard deviations; low = -1 and high = sampled mean no bound on that
// side.
struct SampleRanks {
  int64_t low;
  int64_t high;
};
SampleRanks BracketRanks(int64_t rank, int64_t count, int64_t sampled, double deviations);

}  // namespace secateur

#endif  // SECATEUR_CORE_SAMPLE_H_
