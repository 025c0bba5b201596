// Plain C++, one key at a time: runs everywhere, and is simple enough to trust as the others'
// reference.
#include <cstdint>
#include <cstring>

#include "cpu/backends.h"

namespace secateur {
namespace {

template <class Key>
struct Lane {
  using Bound = Key;
  using Register = Key;
  using LaneMask = bool;
  static constexpr int kLanes = 1;
  static constexpr int64_t kCounterLimit = int64_t{1} << 40;
  static Key Load(const void* p) {
    Key bits;
    std::memcpy(&bits, p, sizeof(bits));
    return bits;
  }
  static void Store(void* p, Key v) { std::memcpy(p, &v, sizeof(v)); }
  static Key Set(Key key) { return key; }
  static Key Abs(Key v) { return v & static_cast<Key>(static_cast<Key>(~Key{0}) >> 1); }
  static Key XorBits(Key a, Key b) { return a ^ b; }
  static bool AtLeast(Key a, Key b) { return a >= b; }
  static bool Nonzero(Key v) { return v != 0; }
  static bool NoLanes() { return false; }
  static bool Xor(bool a, bool b) { return a != b; }
  static bool And(bool a, bool b) { return a && b; }
  static Key Keep(bool m, Key v) { return m ? v : Key{0}; }
  static uint64_t Bits(bool m) { return m; }
  static int64_t Compress(Key* out, Key v, bool m) {
    *out = v;
    return m;
  }
  struct Counter {
    int64_t total = 0;
    void Add(bool m) { total += m; }
    int64_t TakeTotal() {
      const int64_t taken = total;
      total = 0;
      return taken;
    }
  };
};

using Lanes16 = Lane<uint16_t>;
using Lanes32 = Lane<uint32_t>;
using Lanes64 = Lane<uint64_t>;
using CoarseVec = void;
constexpr bool kHasCoarse = false;

#include "cpu/kernels-inl.h"
#include "cpu/optimizer-inl.h"

}  // namespace

extern const Backend kPortableBackend = {"portable", Table<uint16_t>(), Table<uint32_t>(),
                                         Table<uint64_t>(), OptimizerTable()};

}  // namespace secateur
