// The kernels of secateur/optimizer_kernels.h as plain loops that compilers turn into vectors,
// compiled for each instruction set by the file that includes this one. Square roots and divisions
// are correctly rounded on every target, so plain loops give equal bits everywhere. Deliberately
// without an include guard; includes no header, since the including file has switched the compiler
// to another instruction set.

inline uint32_t KeyOf(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits & 0x7fffffffu;
}

// Signed comparison (keys and bounds have a clear top bit) is what the oldest vector units have.
inline bool KeyAtLeast(float value, uint32_t bound) {
  return static_cast<int32_t>(KeyOf(value)) >= static_cast<int32_t>(bound);
}

// Whether a weight is kept: by its V's key, or by a byte of its own.
struct ByBound {
  uint32_t bound;
  bool operator()(int64_t, float v) const { return KeyAtLeast(v, bound); }
};
struct ByByte {
  const uint8_t* keep;
  bool operator()(int64_t i, float) const { return keep[i] != 0; }
};

inline void Gradient(float* __restrict e, const float* __restrict g, const float* __restrict w,
                     int64_t count, float scale, float decay) noexcept {
  for (int64_t i = 0; i < count; ++i) e[i] = scale * g[i] + decay * w[i];
}

template <class Keeps>
inline void PullWhere(float* __restrict e, const float* __restrict w, const float* __restrict v,
                      int64_t count, float rho, float dual, Keeps keeps) {
  for (int64_t i = 0; i < count; ++i) {
    const float target = keeps(i, v[i]) ? v[i] : -(dual * v[i]);
    e[i] = e[i] + rho * (w[i] - target);
  }
}

inline void Pull(float* e, const float* w, const float* v, int64_t count, float rho,
                 AdmmArgs admm) noexcept {
  PullWhere(e, w, v, count, rho, admm.dual, ByBound{admm.bound});
}

inline void PullKept(float* e, const float* w, const float* v, const uint8_t* keep, int64_t count,
                     float rho, float dual) noexcept {
  PullWhere(e, w, v, count, rho, dual, ByByte{keep});
}

inline void Blend(float* x, const float* y, int64_t count, float a, float b) noexcept {
  for (int64_t i = 0; i < count; ++i) x[i] = a * x[i] + b * y[i];
}

inline void Momentum(float* __restrict w, const float* __restrict e, float* __restrict m,
                     int64_t count, MomentumArgs args) noexcept {
  const float mu = args.momentum;
  const float rate = args.rate;
  const float fresh = args.fresh;
  if (args.nesterov) {
    for (int64_t i = 0; i < count; ++i) {
      m[i] = mu * m[i] + fresh * e[i];
      w[i] = w[i] - rate * (e[i] + mu * m[i]);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      m[i] = mu * m[i] + fresh * e[i];
      w[i] = w[i] - rate * m[i];
    }
  }
}

inline void Adam(float* __restrict w, const float* __restrict e, float* __restrict m,
                 float* __restrict v, int64_t count, AdamArgs args) noexcept {
  const AdamArgs a = args;
  for (int64_t i = 0; i < count; ++i) {
    m[i] = a.beta1 * m[i] + a.fresh1 * e[i];
    v[i] = a.beta2 * v[i] + a.fresh2 * (e[i] * e[i]);
    w[i] = w[i] - a.rate * (m[i] / (__builtin_sqrtf(v[i]) * a.root_scale + a.epsilon));
  }
}

inline void Keep(float* __restrict x, const uint8_t* __restrict keep, int64_t count) noexcept {
  for (int64_t i = 0; i < count; ++i) x[i] = keep[i] != 0 ? x[i] : 0.0f;
}

// Sixteen sums side by side, whatever the width of a vector, added up pairwise at the end.
inline double SumSquares(const float* x, int64_t count) noexcept {
  constexpr int kSums = 16;
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int j = 0; j < kSums; ++j) {
      sums[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
    }
  }
  for (int j = 0; i < count; ++i, ++j) {
    sums[j] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  for (int width = kSums / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

inline void AddSquares(double* __restrict sums, const float* __restrict x, int64_t count) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    sums[i] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
}

template <class Keeps>
inline void NextWhere(float* __restrict next, const float* __restrict w, const float* __restrict v,
                      int64_t count, float dual, Keeps keeps) {
  for (int64_t i = 0; i < count; ++i) {
    next[i] = keeps(i, v[i]) ? w[i] : w[i] + dual * v[i];
  }
}

inline void Next(float* next, const float* w, const float* v, int64_t count,
                 AdmmArgs admm) noexcept {
  NextWhere(next, w, v, count, admm.dual, ByBound{admm.bound});
}

inline void NextKept(float* next, const float* w, const float* v, const uint8_t* keep,
                     int64_t count, float dual) noexcept {
  NextWhere(next, w, v, count, dual, ByByte{keep});
}

template <class Kept, class Keeps>
inline int64_t ProjectWhere(float* __restrict v, float* __restrict gap, float* __restrict moved,
                            const float* __restrict w, int64_t count, float dual, Kept was_kept,
                            Keeps is_kept) {
  int32_t changed = 0;  // callers pass blocks
  for (int64_t i = 0; i < count; ++i) {
    const float old = v[i];
    const bool kept = was_kept(i, old);
    const float next = kept ? w[i] : w[i] + dual * old;
    const bool keeps = is_kept(i, next);
    const float z = keeps ? next : 0.0f;
    const float z_before = kept ? old : 0.0f;
    v[i] = next;
    gap[i] = w[i] - z;
    moved[i] = z - z_before;
    changed += kept != keeps ? 1 : 0;
  }
  return changed;
}

inline int64_t Project(float* v, float* gap, float* moved, const float* w, int64_t count,
                       AdmmArgs before, uint32_t bound) noexcept {
  return ProjectWhere(v, gap, moved, w, count, before.dual, ByBound{before.bound}, ByBound{bound});
}

inline int64_t ProjectKept(float* v, float* gap, float* moved, const float* w,
                           const uint8_t* before, const uint8_t* after, int64_t count,
                           float dual) noexcept {
  return ProjectWhere(v, gap, moved, w, count, dual, ByByte{before}, ByByte{after});
}

constexpr OptimizerKernels OptimizerTable() {
  return {&Gradient,   &Pull,       &PullKept, &Blend,    &Momentum, &Adam,       &Keep,
          &SumSquares, &AddSquares, &Next,     &NextKept, &Project,  &ProjectKept};
}
