// Elementwise kernels of training: one table a backend. All are exact per element (no
// reassociation, no contraction), and sums have a fixed order, so every backend gives the same
// bits. Pointers may be unaligned to anything but a float; arrays don't overlap unless they are the
// same argument. Counts are of elements.
#ifndef SECATEUR_OPTIMIZER_KERNELS_H_
#define SECATEUR_OPTIMIZER_KERNELS_H_

#include <cstdint>

namespace secateur {

struct MomentumArgs {
  float rate;      // w -= rate * direction
  float momentum;  // m = momentum * m + fresh * e
  float fresh;     // 1 - dampening, or 1 in the first step
  bool nesterov;   // direction is e + momentum * m instead of m
};

// m = beta1 * m + fresh1 * e; v = beta2 * v + fresh2 * e * e;
// w -= rate * (m / (sqrt(v) * root_scale + epsilon))
struct AdamArgs {
  float rate;
  float beta1;
  float fresh1;
  float beta2;
  float fresh2;
  float root_scale;
  float epsilon;
};

// A weight is kept while the key (bits without the sign) of its V is at least `bound`. Where it is
// kept, Z = V and U = 0; where it is removed, Z = 0 and U = dual * V.
struct AdmmArgs {
  uint32_t bound;
  float dual;
};

struct OptimizerKernels {
  // e = scale * g + decay * w
  void (*gradient)(float* e, const float* g, const float* w, int64_t count, float scale,
                   float decay) noexcept;
  // e += rho * (w - Z + U)
  void (*pull)(float* e, const float* w, const float* v, int64_t count, float rho,
               AdmmArgs admm) noexcept;
  // The same where the bytes say which weights are kept: keep is 0 or 1.
  void (*pull_kept)(float* e, const float* w, const float* v, const uint8_t* keep, int64_t count,
                    float rho, float dual) noexcept;
  // x = a * x + b * y; y may equal x
  void (*blend)(float* x, const float* y, int64_t count, float a, float b) noexcept;
  void (*momentum)(float* w, const float* e, float* m, int64_t count, MomentumArgs args) noexcept;
  void (*adam)(float* w, const float* e, float* m, float* v, int64_t count, AdamArgs args) noexcept;
  // x = keep ? x : +0; keep is 0 or 1
  void (*keep)(float* x, const uint8_t* keep, int64_t count) noexcept;
  // The sum of x * x in double precision.
  double (*sum_squares)(const float* x, int64_t count) noexcept;
  // sums[i] += x[i] * x[i]
  void (*add_squares)(double* sums, const float* x, int64_t count) noexcept;
  // next = W + U: what the next projection looks at.
  void (*next)(float* next, const float* w, const float* v, int64_t count, AdmmArgs admm) noexcept;
  void (*next_kept)(float* next, const float* w, const float* v, const uint8_t* keep, int64_t count,
                    float dual) noexcept;
  // v = W + U under `before`; gap = W - Z and moved = Z - Z before, with Z by `bound` of the new v.
  // Returns how many weights changed sides.
  int64_t (*project)(float* v, float* gap, float* moved, const float* w, int64_t count,
                     AdmmArgs before, uint32_t bound) noexcept;
  int64_t (*project_kept)(float* v, float* gap, float* moved, const float* w, const uint8_t* before,
                          const uint8_t* after, int64_t count, float dual) noexcept;
};

}  // namespace secateur

#endif  // SECATEUR_OPTIMIZER_KERNELS_H_
