// One weight's step, operation by operation as core/optimizer.cc and cpu/optimizer-inl.h do it, so
// that a GPU gives their bits. Compile without contraction.
#ifndef SECATEUR_CUDA_STEP_MATH_H_
#define SECATEUR_CUDA_STEP_MATH_H_

#include <cmath>

#include "core/host_device.h"
#include "cuda/api.h"
#include "cuda/tiles.h"

namespace secateur::cuda {

SECATEUR_HD inline uint32_t KeyOf(float value) { return BitsAs<uint32_t>(value) & 0x7fffffffU; }

struct Element {
  float w;
  float g;
  float m;
  float v;
  float admm;
  bool kept;  // by Z, of V
  bool keep;  // by the mask
};

SECATEUR_HD inline float Effective(const StepArgs& a, const StepSwitches& on, const Element& x) {
  const bool pulls = a.admm != nullptr && on.prune;
  const float l2 = on.decay ? a.l2 : 0.0f;
  if (!pulls && l2 == 0.0f && a.scale == 1.0f) return x.g;
  float e = a.scale * x.g + l2 * x.w;
  if (pulls) {
    const float target = x.kept ? x.admm : -(a.dual * x.admm);
    e = e + a.rho * (x.w - target);
  }
  return e;
}

SECATEUR_HD inline void UpdateAdam(const AdamArgs& a, float e, Element& x) {
  x.m = a.beta1 * x.m + a.fresh1 * e;
  x.v = a.beta2 * x.v + a.fresh2 * (e * e);
  x.w = x.w - a.rate * (x.m / (sqrtf(x.v) * a.root_scale + a.epsilon));
}

SECATEUR_HD inline void UpdateMomentum(const MomentumArgs& a, float e, Element& x) {
  x.m = a.momentum * x.m + a.fresh * e;
  x.w = x.w - a.rate * (a.nesterov ? e + a.momentum * x.m : x.m);
}

// Blends as the CPU does, products with 0 and 1 included: those of infinities differ.
SECATEUR_HD inline void StepElement(const StepArgs& a, const StepSwitches& on, Element& x) {
  const float e = Effective(a, on, x);
  const float unblended = x.w;
  const bool decays = a.shrink != 1.0f && on.decay;
  if (decays && !a.decay_after) x.w = a.shrink * unblended + 0.0f * unblended;
  if (a.update == Update::kAdam) {
    UpdateAdam(a.adam, e, x);
  } else if (a.update == Update::kMomentum) {
    UpdateMomentum(a.momentum, e, x);
  } else {
    x.w = 1.0f * x.w + -a.momentum.rate * e;
  }
  const float updated = x.w;
  if (decays && a.decay_after) x.w = a.shrink * updated + 0.0f * updated;
  if (!x.keep) x.w = x.m = x.v = 0.0f;
}

// W + U, given what Z kept of V.
SECATEUR_HD inline float NextOf(float w, float v, bool kept, float dual) {
  return kept ? w : w + dual * v;
}

}  // namespace secateur::cuda

#endif  // SECATEUR_CUDA_STEP_MATH_H_
