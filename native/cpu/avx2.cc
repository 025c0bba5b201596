// AVX2 (Haswell, Zen and later): 32-byte vectors. Lane masks are vectors of all-ones lanes;
// compression looks up a permutation by the mask's bits.
#include "cpu/backends.h"

#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>

#include <array>
#include <cstdint>

#include "cpu/target.h"

namespace secateur {
namespace {

// For each set of eight lanes, the indices of the members first.
constexpr auto kCompressLanes = [] {
  std::array<std::array<uint32_t, 8>, 256> table{};
  for (int bits = 0; bits < 256; ++bits) {
    int next = 0;
    for (int lane = 0; lane < 8; ++lane) {
      if ((bits >> lane) & 1) table[bits][next++] = lane;
    }
  }
  return table;
}();

}  // namespace
}  // namespace secateur

SECATEUR_BEGIN_TARGET("avx2,bmi,bmi2,popcnt")

namespace secateur {
namespace {

// What the three widths share. Keys have a clear top bit, so signed compares order them.
struct Avx2 {
  using Register = __m256i;
  using LaneMask = __m256i;
  static __m256i Load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static void Store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
  static __m256i XorBits(__m256i a, __m256i b) { return _mm256_xor_si256(a, b); }
  static __m256i NoLanes() { return _mm256_setzero_si256(); }
  static __m256i Xor(__m256i a, __m256i b) { return _mm256_xor_si256(a, b); }
  static __m256i And(__m256i a, __m256i b) { return _mm256_and_si256(a, b); }
  static __m256i Keep(__m256i m, __m256i v) { return _mm256_and_si256(m, v); }
  static __m256i Not(__m256i m) { return _mm256_xor_si256(m, _mm256_set1_epi32(-1)); }
  // Appends the 32-bit lanes whose bit is set; a no-op is the usual case.
  static void CompressWords(void* out, __m256i v, uint32_t bits) {
    Store(out, _mm256_permutevar8x32_epi32(v, Load(kCompressLanes[bits].data())));
  }
};

struct Lanes32 : Avx2 {
  using Bound = uint32_t;
  static constexpr int kLanes = 8;
  static constexpr int64_t kCounterLimit = 1 << 20;
  static __m256i Set(uint32_t key) { return _mm256_set1_epi32(static_cast<int>(key)); }
  static __m256i Abs(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi32(0x7fffffff)); }
  static __m256i AtLeast(__m256i a, __m256i b) { return Not(_mm256_cmpgt_epi32(b, a)); }
  static __m256i Nonzero(__m256i v) { return Not(_mm256_cmpeq_epi32(v, _mm256_setzero_si256())); }
  static uint64_t Bits(__m256i m) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(m)));
  }
  static int64_t Compress(uint32_t* out, __m256i v, __m256i m) {
    const uint64_t bits = Bits(m);
    CompressWords(out, v, static_cast<uint32_t>(bits));
    return _mm_popcnt_u32(static_cast<uint32_t>(bits));
  }
  struct Counter {
    __m256i lanes;
    Counter() : lanes(_mm256_setzero_si256()) {}  // an implicit one would have the file's target
    void Add(__m256i m) { lanes = _mm256_sub_epi32(lanes, m); }
    int64_t TakeTotal() {
      uint32_t counts[8];
      Store(counts, lanes);
      lanes = _mm256_setzero_si256();
      int64_t total = 0;
      for (uint32_t count : counts) total += count;
      return total;
    }
  };
};

struct Lanes16 : Avx2 {
  using Bound = uint16_t;
  static constexpr int kLanes = 16;
  static constexpr int64_t kCounterLimit = 0xffff;
  static __m256i Set(uint16_t key) { return _mm256_set1_epi16(static_cast<int16_t>(key)); }
  static __m256i Abs(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi16(0x7fff)); }
  static __m256i AtLeast(__m256i a, __m256i b) { return Not(_mm256_cmpgt_epi16(b, a)); }
  static __m256i Nonzero(__m256i v) { return Not(_mm256_cmpeq_epi16(v, _mm256_setzero_si256())); }
  static uint64_t Bits(__m256i m) {
    return _pext_u32(static_cast<uint32_t>(_mm256_movemask_epi8(m)), 0x55555555u);
  }
  static int64_t Compress(uint16_t* out, __m256i v, __m256i m) {
    auto bits = static_cast<uint32_t>(Bits(m));
    if (bits == 0) return 0;
    uint16_t lanes[16];
    Store(lanes, v);
    int64_t count = 0;
    for (; bits != 0; bits &= bits - 1) out[count++] = lanes[__builtin_ctz(bits)];
    return count;
  }
  struct Counter {
    __m256i lanes;
    Counter() : lanes(_mm256_setzero_si256()) {}  // an implicit one would have the file's target
    void Add(__m256i m) { lanes = _mm256_sub_epi16(lanes, m); }
    int64_t TakeTotal() {
      uint16_t counts[16];
      Store(counts, lanes);
      lanes = _mm256_setzero_si256();
      int64_t total = 0;
      for (uint16_t count : counts) total += count;
      return total;
    }
  };
};

struct Lanes64 : Avx2 {
  using Bound = uint64_t;
  static constexpr int kLanes = 4;
  static constexpr int64_t kCounterLimit = 1 << 20;
  static __m256i Set(uint64_t key) { return _mm256_set1_epi64x(static_cast<int64_t>(key)); }
  static __m256i Abs(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi64x(INT64_MAX)); }
  static __m256i AtLeast(__m256i a, __m256i b) { return Not(_mm256_cmpgt_epi64(b, a)); }
  static __m256i Nonzero(__m256i v) { return Not(_mm256_cmpeq_epi64(v, _mm256_setzero_si256())); }
  static uint64_t Bits(__m256i m) {
    return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(m)));
  }
  static int64_t Compress(uint64_t* out, __m256i v, __m256i m) {
    const auto words = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(m)));
    CompressWords(out, v, words);
    return _mm_popcnt_u32(words) / 2;
  }
  struct Counter {
    __m256i lanes;
    Counter() : lanes(_mm256_setzero_si256()) {}  // an implicit one would have the file's target
    void Add(__m256i m) { lanes = _mm256_sub_epi64(lanes, m); }
    int64_t TakeTotal() {
      int64_t counts[4];
      Store(counts, lanes);
      lanes = _mm256_setzero_si256();
      return counts[0] + counts[1] + counts[2] + counts[3];
    }
  };
};

// Sixteen upper halves of 32-bit keys.
struct CoarseVec : Lanes16 {
  static constexpr int kBytes = 64;
  static uint16_t ToBound(uint32_t key) { return static_cast<uint16_t>(key >> 16); }
  static __m256i Keys(const char* p) {
    const __m256i low = _mm256_srli_epi32(Load(p), 16);
    const __m256i high = _mm256_srli_epi32(Load(p + 32), 16);
    return Abs(_mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8));
  }
  static int64_t Append(uint32_t* out, const char* p, __m256i m) {
    const auto bits = static_cast<uint32_t>(Bits(m));
    CompressWords(out, Lanes32::Abs(Load(p)), bits & 0xff);
    out += _mm_popcnt_u32(bits & 0xff);
    CompressWords(out, Lanes32::Abs(Load(p + 32)), bits >> 8);
    return _mm_popcnt_u32(bits);
  }
};
constexpr bool kHasCoarse = true;

#include "cpu/kernels-inl.h"
#include "cpu/optimizer-inl.h"

}  // namespace

extern const Backend kAvx2Backend = {"avx2", Table<uint16_t>(), Table<uint32_t>(),
                                     Table<uint64_t>(), OptimizerTable()};

}  // namespace secateur

SECATEUR_END_TARGET

#endif
