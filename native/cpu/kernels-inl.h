// The kernels, written once over vector types and compiled for each instruction set by the file
// that includes this one. Lanes16, Lanes32 and Lanes64 give: kLanes, Load, Store, Set, Abs (without
// the sign), And, Xor, AtLeast and Nonzero (lane masks), Keep (zero lanes outside a mask), Compress
// (append masked lanes), Bits (a mask as an integer), and `Counter`, which sums masks. `CoarseVec`
// is the same over the upper halves of 32-bit keys, twice as many a register; kHasCoarse says
// whether there is one. Deliberately without an include guard; includes no header, since the
// including file has switched the compiler to another instruction set.

template <class Key>
struct LanesFor;
template <>
struct LanesFor<uint16_t> : Lanes16 {};
template <>
struct LanesFor<uint32_t> : Lanes32 {};
template <>
struct LanesFor<uint64_t> : Lanes64 {};

template <class Key>
struct Vec : LanesFor<Key> {
  using Base = LanesFor<Key>;
  static constexpr int kBytes = Base::kLanes * static_cast<int>(sizeof(Key));
  static Key ToBound(Key key) { return key; }
  static auto Keys(const void* p) { return Base::Abs(Base::Load(p)); }
  static int64_t Append(Key* out, const void* p, typename Base::LaneMask m) {
    return Base::Compress(out, Keys(p), m);
  }
};

template <class Key>
inline Key LoadKey(const void* weights, int64_t index) {
  Key bits;
  __builtin_memcpy(&bits, static_cast<const char*>(weights) + index * sizeof(Key), sizeof(Key));
  return bits & static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);
}

template <class Key>
int64_t ClassifyTail(const void* weights, int64_t begin, int64_t end,
                     const Classification<Key>& classes, int64_t* at_least, Key* stored) {
  int64_t appended = 0;
  for (int64_t i = begin; i < end; ++i) {
    const Key key = LoadKey<Key>(weights, i);
    bool store = false;
    for (int j = 0; j < classes.bound_count; ++j) {
      const bool above = key >= classes.bounds[j];
      at_least[j] += above;
      store ^= above && ((classes.store_edges >> j) & 1);
    }
    if (store && stored) stored[appended++] = key;
  }
  return appended;
}

// `bound_count` bounds in registers; the loop over them is unrolled.
template <class Key, int kBounds, bool kStore>
int64_t ClassifyFew(const void* weights, int64_t count, const Classification<Key>& classes,
                    int64_t* at_least, Key* stored) {
  using V = Vec<Key>;
  constexpr int64_t kStep = V::kLanes;
  typename V::Register bounds[kBounds];
  typename V::Counter counters[kBounds];
  for (int j = 0; j < kBounds; ++j) bounds[j] = V::Set(classes.bounds[j]);
  const uint32_t edges = classes.store_edges;
  const auto* source = static_cast<const char*>(weights);
  Key* out = stored;
  int64_t i = 0;
  while (i + kStep <= count) {
    const int64_t left = (count - i) / kStep;
    const int64_t block = left < V::kCounterLimit ? left : V::kCounterLimit;
    for (int64_t n = 0; n < block; ++n, i += kStep) {
      const auto keys = V::Keys(source + i * sizeof(Key));
      auto store = V::NoLanes();
      for (int j = 0; j < kBounds; ++j) {
        const auto above = V::AtLeast(keys, bounds[j]);
        counters[j].Add(above);
        if (kStore && ((edges >> j) & 1)) store = V::Xor(store, above);
      }
      if constexpr (kStore) out += V::Compress(out, keys, store);
    }
    for (int j = 0; j < kBounds; ++j) at_least[j] += counters[j].TakeTotal();
  }
  return (out - stored) + ClassifyTail<Key>(weights, i, count, classes, at_least, out);
}

// A block of vectors that is classified by one group of bounds after another while it stays in the
// first-level cache, with the lanes to be stored.
template <class V>
struct Block {
  static constexpr int64_t kVectors = 12288 / V::kBytes;
  const char* begin;
  int64_t vectors;
  typename V::LaneMask store[kVectors];
};

// Classifies by one group of bounds; at the first `kFlips` of them storing begins or ends. The
// first group also fetches the next block, so that reading memory overlaps the other groups'
// arithmetic.
template <class V, int kBounds, int kFlips, bool kFirst>
void ClassifyGroup(Block<V>& block, const typename V::Bound* lowest, int64_t* at_least) {
  typename V::Register bounds[kBounds];
  typename V::Counter counters[kBounds];
  for (int j = 0; j < kBounds; ++j) bounds[j] = V::Set(lowest[j]);
  for (int64_t n = 0; n < block.vectors; ++n) {
    const char* vector = block.begin + n * V::kBytes;
    if constexpr (kFirst) {
      __builtin_prefetch(vector + Block<V>::kVectors * V::kBytes);
      if constexpr (V::kBytes > 64)
        __builtin_prefetch(vector + Block<V>::kVectors * V::kBytes + 64);
    }
    const auto keys = V::Keys(vector);
    auto flipped = kFirst ? V::NoLanes() : block.store[n];
    for (int j = 0; j < kBounds; ++j) {
      const auto above = V::AtLeast(keys, bounds[j]);
      counters[j].Add(above);
      if (j < kFlips) flipped = V::Xor(flipped, above);
    }
    if constexpr (kFlips > 0 || kFirst) block.store[n] = flipped;
  }
  for (int j = 0; j < kBounds; ++j) at_least[j] += counters[j].TakeTotal();
}

// The longest group that the next bounds allow: ten that flip, nine of which the last does not (the
// usual end), or one. Returns its length.
template <class V, bool kFirst>
int ClassifyNextGroup(Block<V>& block, const typename V::Bound* bounds, int left, uint32_t edges,
                      int64_t* at_least) {
  const auto flips = [&](int count) {
    return left >= count && (edges & ((1u << count) - 1)) == (1u << count) - 1;
  };
  if (flips(10)) {
    ClassifyGroup<V, 10, 10, kFirst>(block, bounds, at_least);
    return 10;
  }
  if (left == 9 && flips(8) && ((edges >> 8) & 1) == 0) {
    ClassifyGroup<V, 9, 8, kFirst>(block, bounds, at_least);
    return 9;
  }
  if (flips(4)) {
    ClassifyGroup<V, 4, 4, kFirst>(block, bounds, at_least);
    return 4;
  }
  if (left >= 4 && (edges & 0xf) == 0) {
    ClassifyGroup<V, 4, 0, kFirst>(block, bounds, at_least);
    return 4;
  }
  (edges & 1) ? ClassifyGroup<V, 1, 1, kFirst>(block, bounds, at_least)
              : ClassifyGroup<V, 1, 0, kFirst>(block, bounds, at_least);
  return 1;
}

template <class V>
void ClassifyBlock(Block<V>& block, const typename V::Bound* bounds, int count, uint32_t edges,
                   int64_t* at_least) {
  int j = ClassifyNextGroup<V, true>(block, bounds, count, edges, at_least);
  while (j < count)
    j += ClassifyNextGroup<V, false>(block, bounds + j, count - j, edges >> j, at_least + j);
}

// Any number of bounds. With all counters in memory at once, nine ratios took 3.4 times as long as
// one.
template <class V, class Key>
int64_t ClassifyMany(const void* weights, int64_t count, const Classification<Key>& classes,
                     int64_t* at_least, Key* stored) {
  typename V::Bound bounds[kMaxBounds];
  for (int j = 0; j < classes.bound_count; ++j) bounds[j] = V::ToBound(classes.bounds[j]);
  Block<V> block;
  Key* out = stored;
  int64_t i = 0;
  while (i + V::kLanes <= count) {
    const int64_t left = (count - i) / V::kLanes;
    block.begin = static_cast<const char*>(weights) + i * static_cast<int64_t>(sizeof(Key));
    block.vectors = left < Block<V>::kVectors ? left : Block<V>::kVectors;
    ClassifyBlock(block, bounds, classes.bound_count, classes.store_edges, at_least);
    if (stored) {
      for (int64_t n = 0; n < block.vectors; ++n) {
        out += V::Append(out, block.begin + n * V::kBytes, block.store[n]);
      }
    }
    i += block.vectors * V::kLanes;
  }
  return (out - stored) + ClassifyTail<Key>(weights, i, count, classes, at_least, out);
}

// Whether every bound can be told by the upper half of a 32-bit key alone.
inline bool AllCoarse(const Classification<uint32_t>& classes) {
  for (int j = 0; j < classes.bound_count; ++j) {
    if ((classes.bounds[j] & 0xffff) != 0) return false;
  }
  return true;
}

template <class Key>
int64_t ClassifyManyBy(const void* weights, int64_t count, const Classification<Key>& classes,
                       int64_t* at_least, Key* stored) {
  if constexpr (sizeof(Key) == 4 && kHasCoarse) {
    if (AllCoarse(classes)) {
      return ClassifyMany<CoarseVec, Key>(weights, count, classes, at_least, stored);
    }
  }
  return ClassifyMany<Vec<Key>, Key>(weights, count, classes, at_least, stored);
}

template <class Key, bool kStore>
int64_t ClassifyBy(const void* weights, int64_t count, const Classification<Key>& classes,
                   int64_t* at_least, Key* stored) {
  switch (classes.bound_count) {
    case 1:
      return ClassifyFew<Key, 1, kStore>(weights, count, classes, at_least, stored);
    case 2:
      return ClassifyFew<Key, 2, kStore>(weights, count, classes, at_least, stored);
    case 3:
      return ClassifyFew<Key, 3, kStore>(weights, count, classes, at_least, stored);
    case 4:
      return ClassifyFew<Key, 4, kStore>(weights, count, classes, at_least, stored);
    case 5:
      return ClassifyFew<Key, 5, kStore>(weights, count, classes, at_least, stored);
    default:
      return ClassifyManyBy<Key>(weights, count, classes, at_least, stored);
  }
}

template <class Key>
int64_t Classify(const void* weights, int64_t count, const Classification<Key>& classes,
                 int64_t* at_least, Key* stored) noexcept {
  return stored ? ClassifyBy<Key, true>(weights, count, classes, at_least, stored)
                : ClassifyBy<Key, false>(weights, count, classes, at_least, stored);
}

template <class Key>
int64_t Mask(const void* in, void* out, int64_t count, Key bound) noexcept {
  using V = Vec<Key>;
  const auto* source = static_cast<const char*>(in);
  auto* target = static_cast<char*>(out);
  const auto lowest = V::Set(bound);
  const auto one = V::Set(1);
  typename V::Counter nonzero;
  int64_t kept = 0;
  int64_t i = 0;
  while (i + V::kLanes <= count) {
    const int64_t left = (count - i) / V::kLanes;
    const int64_t block = left < V::kCounterLimit ? left : V::kCounterLimit;
    for (int64_t n = 0; n < block; ++n, i += V::kLanes) {
      const auto bits = V::Load(source + i * sizeof(Key));
      const auto keys = V::Abs(bits);
      const auto keep = V::AtLeast(keys, lowest);
      nonzero.Add(V::And(keep, V::AtLeast(keys, one)));
      V::Store(target + i * sizeof(Key), V::Keep(keep, bits));
    }
    kept += nonzero.TakeTotal();
  }
  for (; i < count; ++i) {
    const Key key = LoadKey<Key>(in, i);
    const bool keep = key >= bound;
    kept += keep && key != 0;
    if (keep) {
      __builtin_memmove(target + i * sizeof(Key), source + i * sizeof(Key), sizeof(Key));
    } else {
      __builtin_memset(target + i * sizeof(Key), 0, sizeof(Key));
    }
  }
  return count - kept;
}

template <class Key>
void Pack(const void* in, uint8_t* bits, int64_t count, Key bound) noexcept {
  using V = Vec<Key>;
  const auto lowest = V::Set(bound);
  for (int64_t i = 0; i < count; i += 64) {
    uint64_t word = 0;
    for (int lane = 0; lane < 64; lane += V::kLanes) {
      const auto keys = V::Keys(static_cast<const char*>(in) + (i + lane) * sizeof(Key));
      word |= V::Bits(V::AtLeast(keys, lowest)) << lane;
    }
    __builtin_memcpy(bits + i / 8, &word, sizeof(word));
  }
}

template <class Key>
void Nonzeros(const void* in, uint8_t* bits, int64_t count) noexcept {
  using V = Vec<Key>;
  for (int64_t i = 0; i < count; i += 64) {
    uint64_t word = 0;
    for (int lane = 0; lane < 64; lane += V::kLanes) {
      const auto lanes = V::Load(static_cast<const char*>(in) + (i + lane) * sizeof(Key));
      word |= V::Bits(V::Nonzero(lanes)) << lane;
    }
    __builtin_memcpy(bits + i / 8, &word, sizeof(word));
  }
}

template <class Key>
Key Read(const void* weights, int64_t count) noexcept {
  using V = Vec<Key>;
  constexpr int kUnroll = 4;
  typename V::Register sums[kUnroll];
  for (auto& sum : sums) sum = V::Set(0);
  const auto* source = static_cast<const char*>(weights);
  int64_t i = 0;
  for (; i + kUnroll * V::kLanes <= count; i += kUnroll * V::kLanes) {
    for (int u = 0; u < kUnroll; ++u) {
      sums[u] = V::XorBits(sums[u], V::Load(source + (i + u * V::kLanes) * sizeof(Key)));
    }
  }
  for (int u = 1; u < kUnroll; ++u) sums[0] = V::XorBits(sums[0], sums[u]);
  Key lanes[V::kLanes];
  V::Store(lanes, sums[0]);
  Key result = 0;
  for (Key lane : lanes) result ^= lane;
  for (; i < count; ++i) result ^= LoadKey<Key>(weights, i);
  return result;
}

#include "cpu/groups-inl.h"

template <class Key>
constexpr Kernels<Key> Table() {
  return {&Classify<Key>, &Mask<Key>,   &Pack<Key>,       &Nonzeros<Key>,
          &Read<Key>,     &MaskBy<Key>, &KeepLargest<Key>};
}
