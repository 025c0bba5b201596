#include "secateur/optimizer.h"

#include <cmath>
#include <numeric>
#include <string>

#include "core/parallel.h"
#include "core/step_arguments.h"
#include "core/store_mirror.h"
#include "core/stretches.h"
#include "secateur/error.h"

namespace secateur {
namespace {

const Backend& BackendOf(const Backend* backend) { return backend ? *backend : ActiveBackend(); }

int64_t Streams(const ParameterStore& store, int arrays) {
  return store.elements() * arrays * static_cast<int64_t>(sizeof(float));
}

// Weights that the mask removes count as zeros: their gradients move nothing.
double KeptSumSquares(const OptimizerKernels& kernels, const float* g, const uint8_t* keep,
                      int64_t count) {
  if (keep == nullptr) return kernels.sum_squares(g, count);
  alignas(64) float kept[kBlock];
  std::copy_n(g, count, kept);
  kernels.keep(kept, keep, count);
  return kernels.sum_squares(kept, count);
}

// Sums by block, then by stretch, then over stretches in order: the same for any number of threads.
double GradientSquares(const ParameterStore& store, const std::vector<Stretch>& stretches,
                       const StepOptions& options) {
  const OptimizerKernels& kernels = BackendOf(options.backend).optimizer;
  std::vector<double> sums(stretches.size());
  ParallelFor(ThreadsFor(Streams(store, 1), options.threads),
              static_cast<int64_t>(stretches.size()), [&](int64_t i, int) {
                const size_t t = stretches[i].tensor;
                const float* g = store.Data(Slot::kGradients, t);
                const uint8_t* keep = store.Mask(t);
                double sum = 0;
                ForBlocks(stretches[i], [&](int64_t first, int64_t count) {
                  sum += KeptSumSquares(kernels, g + first, keep ? keep + first : nullptr, count);
                });
                sums[i] = sum;
              });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// What is the same for all blocks of a step.
class Step {
 public:
  Step(const ParameterStore& store, const StepOptions& options, double clip)
      : store_(store),
        options_(options),
        kernels_(BackendOf(options.backend).optimizer),
        scale_(ScaleOf(options, clip)),
        shrink_(ShrinkOf(options)),
        momentum_(MomentumOf(options)),
        adam_(AdamOf(options)) {}

  void Block(size_t tensor, int64_t first, int64_t count) const {
    alignas(64) float effective[kBlock];
    float* w = store_.Data(Slot::kParameters, tensor) + first;
    const float* e = Effective(effective, tensor, first, count, w);
    const bool decays = options_.decay != 0 && store_.tensors()[tensor].decay;
    const bool after = DecaysAfter(options_);
    if (decays && !after) kernels_.blend(w, w, count, shrink_, 0);
    Update(w, e, tensor, first, count);
    if (decays && after) kernels_.blend(w, w, count, shrink_, 0);
    ApplyMask(tensor, first, count);
  }

 private:
  const float* Effective(float* effective, size_t tensor, int64_t first, int64_t count,
                         const float* w) const {
    const StoreTensor& switches = store_.tensors()[tensor];
    const float* g = store_.Data(Slot::kGradients, tensor) + first;
    const bool pulls = options_.rho != 0 && switches.prune;
    const double l2 = switches.decay ? options_.l2 : 0;
    if (!pulls && l2 == 0 && scale_ == 1) return g;
    kernels_.gradient(effective, g, w, count, scale_, static_cast<float>(l2));
    if (pulls) Pull(effective, tensor, first, count, w);
    return effective;
  }

  void Pull(float* effective, size_t tensor, int64_t first, int64_t count, const float* w) const {
    const float* v = store_.Data(Slot::kAdmm, tensor) + first;
    const auto rho = static_cast<float>(options_.rho);
    const auto dual = static_cast<float>(store_.admm.dual);
    if (store_.admm.by_support) {
      const uint8_t* keep = store_.SupportBytes() + store_.Offset(tensor) + first;
      kernels_.pull_kept(effective, w, v, keep, count, rho, dual);
      return;
    }
    ForBounds(store_.admm.thresholds[tensor], first, count,
              [&](int64_t at, int64_t part, uint32_t bound) {
                kernels_.pull(effective + at, w + at, v + at, part, rho, {bound, dual});
              });
  }

  void Update(float* w, const float* e, size_t tensor, int64_t first, int64_t count) const {
    if (options_.kind == OptimizerKind::kAdam) {
      kernels_.adam(w, e, store_.Data(Slot::kFirstMoment, tensor) + first,
                    store_.Data(Slot::kSecondMoment, tensor) + first, count, adam_);
    } else if (options_.momentum != 0) {
      kernels_.momentum(w, e, store_.Data(Slot::kFirstMoment, tensor) + first, count, momentum_);
    } else {
      kernels_.blend(w, e, count, 1, -momentum_.rate);
    }
  }

  void ApplyMask(size_t tensor, int64_t first, int64_t count) const {
    const uint8_t* keep = store_.Mask(tensor);
    if (keep == nullptr) return;
    for (Slot slot : {Slot::kParameters, Slot::kFirstMoment, Slot::kSecondMoment}) {
      if (store_.Has(slot)) kernels_.keep(store_.Data(slot, tensor) + first, keep + first, count);
    }
  }

  const ParameterStore& store_;
  const StepOptions& options_;
  const OptimizerKernels& kernels_;
  float scale_;
  float shrink_;
  MomentumArgs momentum_;
  AdamArgs adam_;
};

void Require(bool fine, const char* option, const char* expected, double actual) {
  if (fine) return;
  throw Error("INVALID_OPTION", std::string("Expected ") + option + " to be " + expected +
                                    ", got " + std::to_string(actual));
}

void RequireAtLeastZero(const char* option, double value) {
  Require(value >= 0 && std::isfinite(value), option, "a finite number of at least 0", value);
}

void Validate(const ParameterStore& store, const StepOptions& options) {
  Require(options.step >= 1, "step", "at least 1", static_cast<double>(options.step));
  RequireAtLeastZero("learning rate", options.learning_rate);
  RequireAtLeastZero("maximal gradient norm", options.max_gradient_norm);
  RequireAtLeastZero("weight decay", options.l2);
  RequireAtLeastZero("decoupled weight decay", options.decay);
  RequireAtLeastZero("epsilon", options.epsilon);
  RequireAtLeastZero("rho", options.rho);
  Require(std::isfinite(options.gradient_scale), "gradient scale", "finite",
          options.gradient_scale);
  for (double rate : {options.momentum, options.beta1, options.beta2}) {
    Require(rate >= 0 && rate < 1, "momentum, beta1 and beta2", "numbers in [0, 1)", rate);
  }
  Require(options.dampening >= 0 && options.dampening <= 1, "dampening", "a number in [0, 1]",
          options.dampening);
  if (options.rho != 0 && store.admm.thresholds.size() != store.tensors().size()) {
    throw Error("INVALID_OPTION", "Expected a projection before the first step with rho, got none");
  }
}

// The dual variable U is scaled by 1 / rho: it follows when rho changes.
void FollowRho(AdmmState& admm, double rho) {
  if (rho == 0) return;
  if (admm.rho != 0) admm.dual *= admm.rho / rho;
  admm.rho = rho;
}

void StepHere(const ParameterStore& store, const std::vector<Stretch>& stretches,
              const StepOptions& options, double clip) {
  const Step step(store, options, clip);
  ParallelFor(ThreadsFor(Streams(store, 4), options.threads),
              static_cast<int64_t>(stretches.size()), [&](int64_t i, int) {
                ForBlocks(stretches[i], [&](int64_t first, int64_t count) {
                  step.Block(stretches[i].tensor, first, count);
                });
              });
}

}  // namespace

StepResult OptimizerStep(ParameterStore& store, const StepOptions& options) {
  const std::scoped_lock lock(store.mutex);
  Validate(store, options);
  StoreMirror* mirror = store.mirror.get();
  const std::vector<Stretch> stretches = MakeStretches(store.tensors(), Which::kAll);
  if (mirror != nullptr) mirror->TakeGradients();
  StepResult result;
  double clip = 1;
  if (options.max_gradient_norm > 0 || options.measure_norm) {
    const double squares =
        mirror != nullptr ? mirror->SumSquares() : GradientSquares(store, stretches, options);
    result.gradient_norm = std::sqrt(squares) * std::abs(options.gradient_scale);
  }
  if (options.max_gradient_norm > 0) {
    result.applied = std::isfinite(result.gradient_norm);
    if (!result.applied) return result;
    clip = std::min(1.0, options.max_gradient_norm / (result.gradient_norm + 1e-6));
  }
  const bool adam = options.kind == OptimizerKind::kAdam;
  if (adam || options.momentum != 0) store.Allocate(Slot::kFirstMoment);
  if (adam) store.Allocate(Slot::kSecondMoment);
  FollowRho(store.admm, options.rho);
  if (mirror != nullptr) {
    mirror->Step(options, clip);
  } else {
    StepHere(store, stretches, options, clip);
  }
  return result;
}

void UpdateAverage(ParameterStore& store, double rate, int threads, const Backend* backend) {
  const std::scoped_lock lock(store.mutex);
  Require(rate >= 0 && rate < 1, "rate of the average", "a number in [0, 1)", rate);
  const double kept = store.Has(Slot::kAverage) ? rate : 0;
  store.Allocate(Slot::kAverage);
  const OptimizerKernels& kernels = BackendOf(backend).optimizer;
  const std::vector<Stretch> stretches = MakeStretches(store.tensors(), Which::kAll);
  ParallelFor(ThreadsFor(Streams(store, 2), threads), static_cast<int64_t>(stretches.size()),
              [&](int64_t i, int) {
                const auto& [t, first, count] = stretches[i];
                kernels.blend(store.Data(Slot::kAverage, t) + first,
                              store.Data(Slot::kParameters, t) + first, count,
                              static_cast<float>(kept), static_cast<float>(1 - kept));
              });
}

}  // namespace secateur
