// Applying a selection: zeroing what it removes, in place or into other memory, and the mask as
// packed bits. Needs no second look at the ranking: a weight's own key and index decide.
#ifndef SECATEUR_MASK_H_
#define SECATEUR_MASK_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "secateur/backend.h"
#include "secateur/monitor.h"
#include "secateur/select.h"

namespace secateur {

struct MaskOptions {
  int threads = 0;                   // at most; 0: all cores
  const Backend* backend = nullptr;  // null: ActiveBackend()
  Monitor* monitor = nullptr;
};

// A tensor in memory. `out` may equal `in`; else they don't overlap.
struct MaskedTensor {
  DType dtype;
  int64_t count;
  const std::byte* in;
  std::byte* out;
};

// out[i] = kept ? in[i] : +0. Returns the zeros (of either sign) in each `out`.
std::vector<int64_t> ApplyMask(const std::vector<MaskedTensor>& tensors,
                               const std::vector<TensorThreshold>& thresholds,
                               const MaskOptions& options);

// Bit i (least significant first) of tensor t's bits = weight i is kept; out[t] has (count + 7) / 8
// bytes, and the bits past `count` are 0.
void PackMask(const std::vector<MaskedTensor>& tensors,
              const std::vector<TensorThreshold>& thresholds, const std::vector<uint8_t*>& out,
              const MaskOptions& options);

// The zeros (of either sign) in each `in`.
std::vector<int64_t> CountZeros(const std::vector<MaskedTensor>& tensors,
                                const MaskOptions& options);

// One stretch of a tensor that begins at element `first`; what the functions above do in parallel.
// Returns zeros.
int64_t MaskStretch(const Backend& backend, DType dtype, const TensorThreshold& threshold,
                    int64_t first, const std::byte* in, std::byte* out, int64_t count);
int64_t ZerosInStretch(const Backend& backend, DType dtype, const std::byte* in, int64_t count);

}  // namespace secateur

#endif  // SECATEUR_MASK_H_
