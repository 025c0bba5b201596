// Exact selection: which weights one global removal ratio removes.
//
// Of N weights, exactly round(ratio * N) are removed: those with the smallest scores. The score of
// a weight is |w| * factor in double precision. Ties at the threshold are kept in order of tensor,
// then of index. The answer is the same, bit for bit, for every backend, thread count and chunk
// size.
#ifndef SECATEUR_SELECT_H_
#define SECATEUR_SELECT_H_

#include <cstdint>
#include <vector>

#include "secateur/backend.h"
#include "secateur/monitor.h"
#include "secateur/tensor.h"

namespace secateur {

class Device;

// kGlobal: one threshold over all tensors together. kLayer: one a tensor, round(ratio * count)
// removed in each.
enum class Scope : uint8_t { kGlobal, kLayer };

struct SelectOptions {
  std::vector<double> ratios;  // each in [0, 1); all are answered from one read of the weights
  Scope scope = Scope::kGlobal;
  double min_keep = 0;  // of each tensor at least ceil(min_keep * count) are kept; one read a round
  int threads = 0;      // at most; 0: all cores. Small work uses fewer
  bool allow_nonfinite =
      false;  // keep NaN and infinities and never remove them, instead of failing
  const Backend* backend = nullptr;  // null: ActiveBackend()
  Monitor* monitor = nullptr;        // may be null
  const Device* device = nullptr;    // null: the CPU; else a GPU reads, f64 is refused
};

// Which weights of one tensor stay: key >= tie_end, or key >= tie_begin and index < tie_cut.
struct TensorThreshold {
  uint64_t tie_begin = 0;  // keys of the tensor's own type
  uint64_t tie_end = 0;
  int64_t tie_cut = 0;
  double score = 0;     // the threshold as a score
  int64_t removed = 0;  // weights of this tensor that go, zeros among them counted
};

struct Selection {
  double ratio = 0;
  double threshold =
      0;  // kGlobal: the threshold as a score (of the tensors not held by min_keep); kLayer: NaN
  int64_t removed = 0;
  std::vector<TensorThreshold> tensors;
};

// Throws Error: INVALID_OPTION; NONFINITE_WEIGHT with the first tensor and index; ABORTED; what
// sources throw.
std::vector<Selection> Select(const std::vector<Tensor>& tensors, const SelectOptions& given);

// round(ratio * count), half away from zero.
int64_t RemovedCount(double ratio, int64_t count);

}  // namespace secateur

#endif  // SECATEUR_SELECT_H_
