// Work on many items by a few threads, in any order.
#ifndef SECATEUR_CORE_PARALLEL_H_
#define SECATEUR_CORE_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace secateur {

// How many threads a pass over `bytes` deserves, at most `requested` (0: all cores).
int ThreadsFor(int64_t bytes, int requested);

// Calls body(item, worker) for every item in [0, items), worker in [0, threads); the calling thread
// is one of them. After a body has thrown, no new item is begun; the first exception is thrown
// again here.
void ParallelFor(int threads, int64_t items, const std::function<void(int64_t, int)>& body);

}  // namespace secateur

#endif  // SECATEUR_CORE_PARALLEL_H_
