// One step of an optimizer over all tensors of a store, in one parallel pass over their memory,
// with what training by pruning needs fused in: clipping by the global norm, weight decay, the ADMM
// pull, and masks.
//
// With g the gradient, w the weights, per tensor where its switches say so:
//   e = scale * clip * g                   clip = min(1, max_norm / (norm + 1e-6)), norm of scale *
//   g e += l2 * w                            weight decay as a penalty e += rho * (w - Z + U) the
//   ADMM pull; not part of the norm w -= rate * decay * w                  decoupled decay; before
//   the update, or after it (below) the optimizer's own update of w from e w = momenta = 0 where
//   the mask removes, so that nothing comes back
// Results have the same bits for every backend and thread count.
#ifndef SECATEUR_OPTIMIZER_H_
#define SECATEUR_OPTIMIZER_H_

#include <cstdint>
#include <limits>

#include "secateur/backend.h"
#include "secateur/parameter_store.h"

namespace secateur {

// kSgd: m = momentum * m + (1 - dampening) * e (e itself in the first step); w -= rate * m, with
// Nesterov rate * (e + momentum * m); without momentum w -= rate * e.
// kAdam: m = beta1 * m + (1 - beta1) * e, v = beta2 * v + (1 - beta2) * e * e, t = step,
//   kTorch: w -= rate * m / ((1 - beta1^t) * (sqrt(v / (1 - beta2^t)) + epsilon)), decay before it
//   kRuntime (ONNX Runtime's adam_mode 1): w -= rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m /
//   (sqrt(v) + epsilon), decay after it
enum class OptimizerKind : uint8_t { kSgd, kAdam };
enum class AdamForm : uint8_t { kTorch, kRuntime };

struct StepOptions {
  OptimizerKind kind = OptimizerKind::kSgd;
  int64_t step = 1;  // 1 is the first
  double learning_rate = 0;
  double gradient_scale = 1;     // 1 / n after accumulating n gradients
  double max_gradient_norm = 0;  // 0: no clipping
  bool measure_norm = false;     // the norm is wanted even without clipping
  double l2 = 0;
  double decay = 0;  // decoupled
  double momentum = 0;
  double dampening = 0;
  bool nesterov = false;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  AdamForm form = AdamForm::kTorch;
  bool correct_bias = true;
  double rho = 0;                    // 0: no pull; else the ADMM state must have been begun
  int threads = 0;                   // at most; 0: all cores. Small work uses fewer
  const Backend* backend = nullptr;  // null: ActiveBackend()
};

struct StepResult {
  // Of scale * g over what the mask keeps; NaN where it was not asked for.
  double gradient_norm = std::numeric_limits<double>::quiet_NaN();
  // False: clipping was asked for and the norm is not finite; nothing was changed.
  bool applied = true;
};

// Throws Error INVALID_OPTION. Holds the store's mutex.
StepResult OptimizerStep(ParameterStore& store, const StepOptions& options);

// average = rate * average + (1 - rate) * parameters; the first call copies the parameters.
void UpdateAverage(ParameterStore& store, double rate, int threads, const Backend* backend);

}  // namespace secateur

#endif  // SECATEUR_OPTIMIZER_H_
