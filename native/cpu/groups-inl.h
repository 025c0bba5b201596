// Kernels for weights in groups, as plain loops that compilers turn into vectors, compiled for each
// instruction set by the file that includes this one. Deliberately without an include guard;
// includes no header, since the including file has switched the compiler to another instruction
// set.

// out[i] = keep[i] ? in[i] : +0. Returns the zeros (of either sign) in `out`.
template <class Key>
int64_t MaskBy(const void* in, void* out, int64_t count, const uint8_t* keep) noexcept {
  constexpr Key kMagnitude = static_cast<Key>(~Key{0}) >> 1;
  const auto* source = static_cast<const char*>(in);
  auto* target = static_cast<char*>(out);
  int64_t zeros = 0;
  for (int64_t i = 0; i < count; ++i) {
    Key bits;
    __builtin_memcpy(&bits, source + i * sizeof(Key), sizeof(Key));
    bits = keep[i] != 0 ? bits : Key{0};
    zeros += (bits & kMagnitude) == 0;
    __builtin_memcpy(target + i * sizeof(Key), &bits, sizeof(Key));
  }
  return zeros;
}

// Blocks that are ranked side by side, in planes of one member each that stay in the first-level
// cache.
struct Planes {
  static constexpr int64_t kLanes = 64;
  static constexpr int kMembers = 32;
};

template <class Key>
using Plane = Key[Planes::kLanes];

// beaten[j] = how many members of its block are larger than member j, or equal and before it.
template <class Key>
inline void CountBeaten(const Plane<Key>* planes, Plane<Key>* beaten, int block) {
  for (int j = 0; j < block; ++j) {
    for (int64_t n = 0; n < Planes::kLanes; ++n) beaten[j][n] = 0;
  }
  for (int k = 1; k < block; ++k) {
    for (int j = 0; j < k; ++j) {
      for (int64_t n = 0; n < Planes::kLanes; ++n) {
        const Key later_wins = planes[k][n] > planes[j][n] ? 1 : 0;
        beaten[j][n] += later_wins;
        beaten[k][n] += static_cast<Key>(1 - later_wins);
      }
    }
  }
}

// At most Planes::kLanes blocks, of which place(n) is the first member; members are `stride` apart.
template <class Key, class Place>
// NOLINTNEXTLINE(readability-non-const-parameter): `keep` is written
inline void KeepLargestOf(const void* weights, uint8_t* keep, int64_t count, int64_t stride,
                          int block, int largest, Place place) {
  Plane<Key> planes[Planes::kMembers];
  Plane<Key> beaten[Planes::kMembers];
  for (int j = 0; j < block; ++j) {
    for (int64_t n = 0; n < count; ++n) {
      planes[j][n] = LoadKey<Key>(weights, place(n) + j * stride);
    }
    for (int64_t n = count; n < Planes::kLanes; ++n) planes[j][n] = 0;
  }
  CountBeaten<Key>(planes, beaten, block);
  for (int j = 0; j < block; ++j) {
    for (int64_t n = 0; n < count; ++n) {
      keep[place(n) + j * stride] = beaten[j][n] < static_cast<Key>(largest) ? 1 : 0;
    }
  }
}

// Blocks of kBlock neighbours.
template <class Key, int kBlock>
inline void KeepLargestNeighbours(const void* weights, uint8_t* keep, int64_t blocks, int largest) {
  for (int64_t n = 0; n < blocks; ++n) {
    Key keys[kBlock];
    int beaten[kBlock] = {};
    for (int j = 0; j < kBlock; ++j) keys[j] = LoadKey<Key>(weights, n * kBlock + j);
    for (int k = 1; k < kBlock; ++k) {
      for (int j = 0; j < k; ++j) {
        const int later_wins = keys[k] > keys[j] ? 1 : 0;
        beaten[j] += later_wins;
        beaten[k] += 1 - later_wins;
      }
    }
    for (int j = 0; j < kBlock; ++j) keep[n * kBlock + j] = beaten[j] < largest ? 1 : 0;
  }
}

// keep[i] = 1 for the `largest` largest of each block; of equal ones the first stay. Member j of
// block (t, r) is element (t * block + j) * stride + r.
template <class Key>
void KeepLargest(const void* weights, uint8_t* keep, int64_t tiles, int64_t stride, int block,
                 int largest) noexcept {
  if (stride == 1 && block == 4) {
    return KeepLargestNeighbours<Key, 4>(weights, keep, tiles, largest);
  }
  if (stride == 1 && block == 8) {
    return KeepLargestNeighbours<Key, 8>(weights, keep, tiles, largest);
  }
  for (int64_t t = 0; t < tiles && stride >= Planes::kLanes; ++t) {  // whole vectors
    for (int64_t r = 0; r < stride; r += Planes::kLanes) {
      const int64_t start = t * block * stride + r;
      KeepLargestOf<Key>(weights, keep, stride - r < Planes::kLanes ? stride - r : Planes::kLanes,
                         stride, block, largest, [start](int64_t n) { return start + n; });
    }
  }
  if (stride >= Planes::kLanes) return;
  int64_t places[Planes::kLanes];
  for (int64_t first = 0; first < tiles * stride; first += Planes::kLanes) {
    const int64_t left = tiles * stride - first;
    const int64_t count = left < Planes::kLanes ? left : Planes::kLanes;
    for (int64_t n = 0, t = first / stride, r = first % stride; n < count; ++n) {
      places[n] = t * block * stride + r;
      if (++r == stride) {
        r = 0;
        ++t;
      }
    }
    KeepLargestOf<Key>(weights, keep, count, stride, block, largest,
                       [&places](int64_t n) { return places[n]; });
  }
}
