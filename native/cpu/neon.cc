// NEON (every 64-bit Arm): 16-byte vectors. Lane masks are vectors of all-ones lanes; the few lanes
// that are stored are moved one by one.
#include "cpu/backends.h"

#if defined(__aarch64__) || defined(_M_ARM64)

#include <arm_neon.h>

#include <cstdint>

namespace secateur {
namespace {

// Appends the lanes whose mask is all ones; nearly always there are none.
template <class Key, int kLanes>
int64_t AppendLanes(Key* out, const Key (&keys)[kLanes], const Key (&mask)[kLanes]) {
  int64_t count = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    out[count] = keys[lane];
    count += mask[lane] & 1;
  }
  return count;
}

template <class Key, int kLanes>
uint64_t LaneBits(const Key (&mask)[kLanes]) {
  uint64_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) bits |= static_cast<uint64_t>(mask[lane] & 1) << lane;
  return bits;
}

struct Lanes32 {
  using Bound = uint32_t;
  using Register = uint32x4_t;
  using LaneMask = uint32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int64_t kCounterLimit = 1 << 20;
  static Register Load(const void* p) {
    return vreinterpretq_u32_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
  }
  static void Store(void* p, Register v) {
    vst1q_u8(static_cast<uint8_t*>(p), vreinterpretq_u8_u32(v));
  }
  static Register Set(uint32_t key) { return vdupq_n_u32(key); }
  static Register Abs(Register v) { return vandq_u32(v, vdupq_n_u32(0x7fffffff)); }
  static Register AtLeast(Register a, Register b) { return vcgeq_u32(a, b); }
  static Register Nonzero(Register v) { return vtstq_u32(v, v); }
  static Register NoLanes() { return vdupq_n_u32(0); }
  static Register Xor(Register a, Register b) { return veorq_u32(a, b); }
  static Register XorBits(Register a, Register b) { return veorq_u32(a, b); }
  static Register And(Register a, Register b) { return vandq_u32(a, b); }
  static Register Keep(Register m, Register v) { return vandq_u32(m, v); }
  static uint64_t Bits(Register m) {
    uint32_t lanes[kLanes];
    Store(lanes, m);
    return LaneBits(lanes);
  }
  static int64_t Compress(uint32_t* out, Register v, Register m) {
    if (vmaxvq_u32(m) == 0) return 0;
    uint32_t keys[kLanes];
    uint32_t mask[kLanes];
    Store(keys, v);
    Store(mask, m);
    return AppendLanes(out, keys, mask);
  }
  struct Counter {
    Register lanes = vdupq_n_u32(0);
    void Add(Register m) { lanes = vsubq_u32(lanes, m); }
    int64_t TakeTotal() {
      const auto total = static_cast<int64_t>(vaddlvq_u32(lanes));
      lanes = vdupq_n_u32(0);
      return total;
    }
  };
};

struct Lanes16 {
  using Bound = uint16_t;
  using Register = uint16x8_t;
  using LaneMask = uint16x8_t;
  static constexpr int kLanes = 8;
  static constexpr int64_t kCounterLimit = 0xffff;
  static Register Load(const void* p) {
    return vreinterpretq_u16_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
  }
  static void Store(void* p, Register v) {
    vst1q_u8(static_cast<uint8_t*>(p), vreinterpretq_u8_u16(v));
  }
  static Register Set(uint16_t key) { return vdupq_n_u16(key); }
  static Register Abs(Register v) { return vandq_u16(v, vdupq_n_u16(0x7fff)); }
  static Register AtLeast(Register a, Register b) { return vcgeq_u16(a, b); }
  static Register Nonzero(Register v) { return vtstq_u16(v, v); }
  static Register NoLanes() { return vdupq_n_u16(0); }
  static Register Xor(Register a, Register b) { return veorq_u16(a, b); }
  static Register XorBits(Register a, Register b) { return veorq_u16(a, b); }
  static Register And(Register a, Register b) { return vandq_u16(a, b); }
  static Register Keep(Register m, Register v) { return vandq_u16(m, v); }
  static uint64_t Bits(Register m) {
    uint16_t lanes[kLanes];
    Store(lanes, m);
    return LaneBits(lanes);
  }
  static int64_t Compress(uint16_t* out, Register v, Register m) {
    if (vmaxvq_u16(m) == 0) return 0;
    uint16_t keys[kLanes];
    uint16_t mask[kLanes];
    Store(keys, v);
    Store(mask, m);
    return AppendLanes(out, keys, mask);
  }
  struct Counter {
    Register lanes = vdupq_n_u16(0);
    void Add(Register m) { lanes = vsubq_u16(lanes, m); }
    int64_t TakeTotal() {
      const auto total = static_cast<int64_t>(vaddlvq_u16(lanes));
      lanes = vdupq_n_u16(0);
      return total;
    }
  };
};

struct Lanes64 {
  using Bound = uint64_t;
  using Register = uint64x2_t;
  using LaneMask = uint64x2_t;
  static constexpr int kLanes = 2;
  static constexpr int64_t kCounterLimit = 1 << 20;
  static Register Load(const void* p) {
    return vreinterpretq_u64_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
  }
  static void Store(void* p, Register v) {
    vst1q_u8(static_cast<uint8_t*>(p), vreinterpretq_u8_u64(v));
  }
  static Register Set(uint64_t key) { return vdupq_n_u64(key); }
  static Register Abs(Register v) { return vandq_u64(v, vdupq_n_u64(INT64_MAX)); }
  static Register AtLeast(Register a, Register b) { return vcgeq_u64(a, b); }
  static Register Nonzero(Register v) { return vtstq_u64(v, v); }
  static Register NoLanes() { return vdupq_n_u64(0); }
  static Register Xor(Register a, Register b) { return veorq_u64(a, b); }
  static Register XorBits(Register a, Register b) { return veorq_u64(a, b); }
  static Register And(Register a, Register b) { return vandq_u64(a, b); }
  static Register Keep(Register m, Register v) { return vandq_u64(m, v); }
  static uint64_t Bits(Register m) {
    uint64_t lanes[kLanes];
    Store(lanes, m);
    return LaneBits(lanes);
  }
  static int64_t Compress(uint64_t* out, Register v, Register m) {
    uint64_t keys[kLanes];
    uint64_t mask[kLanes];
    Store(keys, v);
    Store(mask, m);
    return AppendLanes(out, keys, mask);
  }
  struct Counter {
    Register lanes = vdupq_n_u64(0);
    void Add(Register m) { lanes = vsubq_u64(lanes, m); }
    int64_t TakeTotal() {
      const auto total = static_cast<int64_t>(vaddvq_u64(lanes));
      lanes = vdupq_n_u64(0);
      return total;
    }
  };
};

// Eight upper halves of 32-bit keys.
struct CoarseVec : Lanes16 {
  static constexpr int kBytes = 32;
  static uint16_t ToBound(uint32_t key) { return static_cast<uint16_t>(key >> 16); }
  static Register Keys(const char* p) {
    return Abs(vuzp2q_u16(vreinterpretq_u16_u32(Lanes32::Load(p)),
                          vreinterpretq_u16_u32(Lanes32::Load(p + 16))));
  }
  static int64_t Append(uint32_t* out, const char* p, Register m) {
    const Register low = vzip1q_u16(m, m);
    const Register high = vzip2q_u16(m, m);
    const int64_t count =
        Lanes32::Compress(out, Lanes32::Abs(Lanes32::Load(p)), vreinterpretq_u32_u16(low));
    return count + Lanes32::Compress(out + count, Lanes32::Abs(Lanes32::Load(p + 16)),
                                     vreinterpretq_u32_u16(high));
  }
};
constexpr bool kHasCoarse = true;

#include "cpu/kernels-inl.h"
#include "cpu/optimizer-inl.h"

}  // namespace

extern const Backend kNeonBackend = {"neon", Table<uint16_t>(), Table<uint32_t>(),
                                     Table<uint64_t>(), OptimizerTable()};

}  // namespace secateur

#endif
