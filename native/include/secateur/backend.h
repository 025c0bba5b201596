// A backend is the kernels of one instruction set: stateless functions over spans of weights, one
// table a key width. Drivers in native/core are written once and call whichever backend they are
// given; all backends give the same bits (native/test/backend_test.cc).
#ifndef SECATEUR_BACKEND_H_
#define SECATEUR_BACKEND_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "secateur/optimizer_kernels.h"

namespace secateur {

// Bounds that one classification may have; 31 so that a class number fits in a five-step search.
inline constexpr int kMaxBounds = 31;

// `stored` must have room for this many keys more than it will hold: vectors are stored whole.
inline constexpr int64_t kStoreSlack = 64;

// Splits keys into classes: class j holds the keys in [bounds[j - 1], bounds[j]).
template <class Key>
struct Classification {
  const Key* bounds;     // ascending, equal neighbours allowed, top bit clear
  int bound_count;       // 1 .. kMaxBounds
  uint32_t store_edges;  // bit j: storing begins or ends at bounds[j]; it is off below bounds[0]
};

template <class Key>
struct Kernels {
  // Adds to at_least[j] the number of keys >= bounds[j], and appends the keys of stored classes, in
  // order, to `stored` (null: count only). Returns how many were appended. `weights` may be
  // unaligned.
  int64_t (*classify)(const void* weights, int64_t count, const Classification<Key>& classes,
                      int64_t* at_least, Key* stored) noexcept;

  // out[i] = key(in[i]) >= bound ? in[i] : +0. `out` may equal `in`, and overlaps it in no other
  // way. Returns the number of zeros (of either sign) in `out`.
  int64_t (*mask)(const void* in, void* out, int64_t count, Key bound) noexcept;

  // Bit i of `bits` (least significant first) = key(in[i]) >= bound; `count` is a multiple of 64.
  void (*pack)(const void* in, uint8_t* bits, int64_t count, Key bound) noexcept;

  // Bit i of `bits` = in[i] has a bit set, so that -0 counts as a value; `count` is a multiple
  // of 64.
  void (*nonzeros)(const void* in, uint8_t* bits, int64_t count) noexcept;

  // Reads every byte and returns a value that depends on each: the floor that selection is measured
  // against.
  Key (*read)(const void* weights, int64_t count) noexcept;

  // out[i] = keep[i] ? in[i] : +0, otherwise as `mask`.
  int64_t (*mask_by)(const void* in, void* out, int64_t count, const uint8_t* keep) noexcept;

  // keep[i] = whether element i is among the `largest` largest of its block; of equal ones the
  // first are. Member j of block (t, r) is element (t * block + j) * stride + r; `tiles` values of
  // t, `stride` values of r, `block` at most 32.
  void (*keep_largest)(const void* weights, uint8_t* keep, int64_t tiles, int64_t stride, int block,
                       int largest) noexcept;
};

struct Backend {
  std::string_view name;
  Kernels<uint16_t> kernels16;
  Kernels<uint32_t> kernels32;
  Kernels<uint64_t> kernels64;
  OptimizerKernels optimizer;

  template <class Key>
  const Kernels<Key>& For() const {
    if constexpr (sizeof(Key) == 2) {
      return kernels16;
    } else if constexpr (sizeof(Key) == 4) {
      return kernels32;
    } else {
      return kernels64;
    }
  }
};

// The backends that this CPU can run, best first; the last is always `portable`.
const std::vector<const Backend*>& SupportedBackends();

// The first of SupportedBackends(), or the one named by the environment variable
// SECATEUR_FORCE_BACKEND. Throws Error INVALID_OPTION when that names none of them.
const Backend& ActiveBackend();

}  // namespace secateur

#endif  // SECATEUR_BACKEND_H_
