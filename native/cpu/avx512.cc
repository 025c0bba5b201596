// AVX-512 with VBMI2 (Ice Lake, Zen 4 and later): 64-byte vectors, lane masks in their own
// registers, and a compressing move for 16-bit lanes as well.
#include "cpu/backends.h"

#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>

#include <cstdint>

#include "cpu/target.h"

SECATEUR_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,bmi,bmi2,popcnt")

namespace secateur {
namespace {

// What the three widths share.
template <class Mask>
struct Avx512 {
  using Register = __m512i;
  using LaneMask = Mask;
  static __m512i Load(const void* p) { return _mm512_loadu_si512(p); }
  static void Store(void* p, __m512i v) { _mm512_storeu_si512(p, v); }
  static __m512i XorBits(__m512i a, __m512i b) { return _mm512_xor_si512(a, b); }
  static Mask NoLanes() { return 0; }
  static Mask Xor(Mask a, Mask b) { return a ^ b; }
  static Mask And(Mask a, Mask b) { return a & b; }
  static uint64_t Bits(Mask m) { return m; }
};

struct Lanes32 : Avx512<__mmask16> {
  using Bound = uint32_t;
  static constexpr int kLanes = 16;
  static constexpr int64_t kCounterLimit = 1 << 20;
  static __m512i Set(uint32_t key) { return _mm512_set1_epi32(static_cast<int>(key)); }
  static __m512i Abs(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi32(0x7fffffff)); }
  static __mmask16 AtLeast(__m512i a, __m512i b) { return _mm512_cmpge_epu32_mask(a, b); }
  static __mmask16 Nonzero(__m512i v) { return _mm512_test_epi32_mask(v, v); }
  static __m512i Keep(__mmask16 m, __m512i v) { return _mm512_maskz_mov_epi32(m, v); }
  static int64_t Compress(uint32_t* out, __m512i v, __mmask16 m) {
    Store(out, _mm512_maskz_compress_epi32(m, v));
    return _mm_popcnt_u32(m);
  }
  struct Counter {
    __m512i lanes;
    Counter() : lanes(_mm512_setzero_si512()) {}  // an implicit one would have the file's target
    void Add(__mmask16 m) { lanes = _mm512_mask_add_epi32(lanes, m, lanes, _mm512_set1_epi32(1)); }
    int64_t TakeTotal() {
      const int64_t total = _mm512_reduce_add_epi32(lanes);
      lanes = _mm512_setzero_si512();
      return total;
    }
  };
};

struct Lanes16 : Avx512<__mmask32> {
  using Bound = uint16_t;
  static constexpr int kLanes = 32;
  static constexpr int64_t kCounterLimit = 0xffff;
  static __m512i Set(uint16_t key) { return _mm512_set1_epi16(static_cast<int16_t>(key)); }
  static __m512i Abs(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi16(0x7fff)); }
  static __mmask32 AtLeast(__m512i a, __m512i b) { return _mm512_cmpge_epu16_mask(a, b); }
  static __mmask32 Nonzero(__m512i v) { return _mm512_test_epi16_mask(v, v); }
  static __m512i Keep(__mmask32 m, __m512i v) { return _mm512_maskz_mov_epi16(m, v); }
  static int64_t Compress(uint16_t* out, __m512i v, __mmask32 m) {
    Store(out, _mm512_maskz_compress_epi16(m, v));
    return _mm_popcnt_u32(m);
  }
  struct Counter {
    __m512i lanes;
    Counter() : lanes(_mm512_setzero_si512()) {}  // an implicit one would have the file's target
    void Add(__mmask32 m) { lanes = _mm512_mask_add_epi16(lanes, m, lanes, _mm512_set1_epi16(1)); }
    int64_t TakeTotal() {
      const __m512i low = _mm512_and_si512(lanes, _mm512_set1_epi32(0xffff));
      const __m512i high = _mm512_srli_epi32(lanes, 16);
      lanes = _mm512_setzero_si512();
      return _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
    }
  };
};

struct Lanes64 : Avx512<__mmask8> {
  using Bound = uint64_t;
  static constexpr int kLanes = 8;
  static constexpr int64_t kCounterLimit = 1 << 20;
  static __m512i Set(uint64_t key) { return _mm512_set1_epi64(static_cast<int64_t>(key)); }
  static __m512i Abs(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi64(INT64_MAX)); }
  static __mmask8 AtLeast(__m512i a, __m512i b) { return _mm512_cmpge_epu64_mask(a, b); }
  static __mmask8 Nonzero(__m512i v) { return _mm512_test_epi64_mask(v, v); }
  static __m512i Keep(__mmask8 m, __m512i v) { return _mm512_maskz_mov_epi64(m, v); }
  static int64_t Compress(uint64_t* out, __m512i v, __mmask8 m) {
    Store(out, _mm512_maskz_compress_epi64(m, v));
    return _mm_popcnt_u32(m);
  }
  struct Counter {
    __m512i lanes;
    Counter() : lanes(_mm512_setzero_si512()) {}  // an implicit one would have the file's target
    void Add(__mmask8 m) { lanes = _mm512_mask_add_epi64(lanes, m, lanes, _mm512_set1_epi64(1)); }
    int64_t TakeTotal() {
      const int64_t total = _mm512_reduce_add_epi64(lanes);
      lanes = _mm512_setzero_si512();
      return total;
    }
  };
};

// Thirty-two upper halves of 32-bit keys. (Sign bits of differences in place of lane masks were a
// tenth slower.)
struct CoarseVec : Lanes16 {
  static constexpr int kBytes = 128;
  static uint16_t ToBound(uint32_t key) { return static_cast<uint16_t>(key >> 16); }
  static __m512i Keys(const char* p) {
    return Abs(_mm512_permutex2var_epi16(Load(p), OddWords(), Load(p + 64)));
  }
  static int64_t Append(uint32_t* out, const char* p, __mmask32 m) {
    const auto low = static_cast<__mmask16>(m);
    const auto high = static_cast<__mmask16>(m >> 16);
    const int64_t count = Lanes32::Compress(out, Lanes32::Abs(Load(p)), low);
    return count + Lanes32::Compress(out + count, Lanes32::Abs(Load(p + 64)), high);
  }
  static __m512i OddWords() {
    const __m512i pairs = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i first = _mm512_slli_epi32(pairs, 2);
    return _mm512_or_si512(_mm512_add_epi32(first, _mm512_set1_epi32(1)),
                           _mm512_slli_epi32(_mm512_add_epi32(first, _mm512_set1_epi32(3)), 16));
  }
};
constexpr bool kHasCoarse = true;

#include "cpu/kernels-inl.h"
#include "cpu/optimizer-inl.h"

}  // namespace

extern const Backend kAvx512Backend = {"avx512", Table<uint16_t>(), Table<uint32_t>(),
                                       Table<uint64_t>(), OptimizerTable()};

}  // namespace secateur

SECATEUR_END_TARGET

#endif
