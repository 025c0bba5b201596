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

// Lanes that are ranked side by side: `block` planes of them stay in the first-level cache.
constexpr int64_t kPlane = 64;

// keep[i] = 1 for the `largest` largest of each block, whose members are `stride` elements apart:
// member j of block (t, r) is element (t * block + j) * stride + r. Of equal ones the first stay.
template <class Key>
void KeepLargest(const void* weights, uint8_t* keep, int64_t tiles, int64_t stride, int block,
                 int largest) noexcept {
  constexpr int kMostMembers = 32;
  Key planes[kMostMembers][kPlane];
  Key beaten[kMostMembers][kPlane];  // by how many of its block
  int64_t places[kPlane];            // of member 0
  const int64_t lanes = tiles * stride;
  for (int64_t first = 0; first < lanes; first += kPlane) {
    const int64_t count = lanes - first < kPlane ? lanes - first : kPlane;
    for (int64_t n = 0, t = first / stride, r = first % stride; n < count; ++n) {
      places[n] = t * block * stride + r;
      if (++r == stride) {
        r = 0;
        ++t;
      }
    }
    for (int j = 0; j < block; ++j) {
      for (int64_t n = 0; n < count; ++n) {
        planes[j][n] = LoadKey<Key>(weights, places[n] + j * stride);
        beaten[j][n] = 0;
      }
      for (int64_t n = count; n < kPlane; ++n) planes[j][n] = 0;
    }
    for (int k = 1; k < block; ++k) {
      for (int j = 0; j < k; ++j) {
        for (int64_t n = 0; n < kPlane; ++n) {
          const Key later_wins = planes[k][n] > planes[j][n] ? 1 : 0;
          beaten[j][n] += later_wins;
          beaten[k][n] += static_cast<Key>(1 - later_wins);
        }
      }
    }
    for (int j = 0; j < block; ++j) {
      for (int64_t n = 0; n < count; ++n) {
        keep[places[n] + j * stride] = beaten[j][n] < static_cast<Key>(largest) ? 1 : 0;
      }
    }
  }
}
