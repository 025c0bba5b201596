// What the options of a step come to as arguments of kernels: the same for the CPU's and a GPU's.
#ifndef SECATEUR_CORE_STEP_ARGUMENTS_H_
#define SECATEUR_CORE_STEP_ARGUMENTS_H_

#include <cmath>

#include "secateur/optimizer.h"
#include "secateur/optimizer_kernels.h"

namespace secateur {

inline MomentumArgs MomentumOf(const StepOptions& options) {
  return {static_cast<float>(options.learning_rate), static_cast<float>(options.momentum),
          static_cast<float>(options.step == 1 ? 1.0 : 1.0 - options.dampening), options.nesterov};
}

inline AdamArgs AdamOf(const StepOptions& options) {
  const auto steps = static_cast<double>(options.step);
  const double first = options.correct_bias ? 1 - std::pow(options.beta1, steps) : 1;
  const double second = options.correct_bias ? std::sqrt(1 - std::pow(options.beta2, steps)) : 1;
  const bool torch = options.form == AdamForm::kTorch;
  return {static_cast<float>(options.learning_rate / first * (torch ? 1 : second)),
          static_cast<float>(options.beta1),
          static_cast<float>(1 - options.beta1),
          static_cast<float>(options.beta2),
          static_cast<float>(1 - options.beta2),
          static_cast<float>(torch ? 1 / second : 1),
          static_cast<float>(options.epsilon)};
}

inline float ScaleOf(const StepOptions& options, double clip) {
  return static_cast<float>(options.gradient_scale * clip);
}

// What decoupled decay leaves of a weight, and whether it comes after the update.
inline float ShrinkOf(const StepOptions& options) {
  return static_cast<float>(1 - options.learning_rate * options.decay);
}
inline bool DecaysAfter(const StepOptions& options) {
  return options.kind == OptimizerKind::kAdam && options.form == AdamForm::kRuntime;
}

}  // namespace secateur

#endif  // SECATEUR_CORE_STEP_ARGUMENTS_H_
