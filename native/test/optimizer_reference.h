// Stores to test on, and the optimizers once more as plain loops in double precision.
#ifndef SECATEUR_TEST_OPTIMIZER_REFERENCE_H_
#define SECATEUR_TEST_OPTIMIZER_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "secateur/optimizer.h"

namespace secateur::test {

using Store = std::shared_ptr<ParameterStore>;
using Doubles = std::vector<std::vector<double>>;

// Odd sizes, so that tails of vectors, blocks and stretches are all met.
inline std::vector<StoreTensor> MixedTensors() {
  return {{"conv", 500, true, true}, {"bias", 7, false, false},     {"empty", 0, true, true},
          {"fc", 70001, true, true}, {"frozen", 1025, true, false}, {"scale", 33, false, true}};
}

inline void FillSlot(const Store& store, Slot slot, uint32_t seed, double deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, deviation);
  for (size_t t = 0; t < store->tensors().size(); ++t) {
    for (int64_t i = 0; i < store->tensors()[t].count; ++i)
      store->Data(slot, t)[i] = static_cast<float>(normal(random));
  }
}

inline Store MixedStore() {
  Store store = ParameterStore::Create(MixedTensors());
  FillSlot(store, Slot::kParameters, 1, 0.1);
  return store;
}

inline Doubles Copy(const Store& store, Slot slot) {
  Doubles copy;
  for (size_t t = 0; t < store->tensors().size(); ++t) {
    const float* data = store->Data(slot, t);
    copy.emplace_back(store->tensors()[t].count);
    if (data != nullptr) std::copy_n(data, copy.back().size(), copy.back().begin());
  }
  return copy;
}

// The definitions of optimizer.h, once more and slowly.
struct Reference {
  std::vector<StoreTensor> tensors;
  Doubles w, m, v;

  explicit Reference(const Store& store)
      : tensors(store->tensors()), w(Copy(store, Slot::kParameters)), m(w), v(w) {
    for (Doubles* moments : {&m, &v}) {
      for (auto& tensor : *moments) std::fill(tensor.begin(), tensor.end(), 0.0);
    }
  }

  static double Clip(const Doubles& g, const StepOptions& o) {
    if (o.max_gradient_norm == 0) return 1;
    double sum = 0;
    for (const auto& tensor : g) {
      for (double x : tensor) sum += x * x * o.gradient_scale * o.gradient_scale;
    }
    return std::min(1.0, o.max_gradient_norm / (std::sqrt(sum) + 1e-6));
  }

  void Update(size_t t, size_t i, double e, const StepOptions& o) {
    double& weight = w[t][i];
    const double rate = o.learning_rate;
    const double decay = tensors[t].decay ? rate * o.decay : 0;
    if (o.kind == OptimizerKind::kSgd) {
      weight -= decay * weight;
      double direction = e;
      if (o.momentum != 0) {
        m[t][i] = o.step == 1 ? e : o.momentum * m[t][i] + (1 - o.dampening) * e;
        direction = o.nesterov ? e + o.momentum * m[t][i] : m[t][i];
      }
      weight -= rate * direction;
      return;
    }
    m[t][i] = o.beta1 * m[t][i] + (1 - o.beta1) * e;
    v[t][i] = o.beta2 * v[t][i] + (1 - o.beta2) * e * e;
    const double step = static_cast<double>(o.step);
    const double first = o.correct_bias ? 1 - std::pow(o.beta1, step) : 1;
    const double second = o.correct_bias ? 1 - std::pow(o.beta2, step) : 1;
    if (o.form == AdamForm::kTorch) {
      weight -= decay * weight;
      weight -= rate * m[t][i] / (first * (std::sqrt(v[t][i] / second) + o.epsilon));
    } else {
      weight -= rate * std::sqrt(second) / first * m[t][i] / (std::sqrt(v[t][i]) + o.epsilon);
      weight -= decay * weight;
    }
  }

  // `pull(t, i)` is rho * (w - Z + U).
  void Step(const Doubles& g, const StepOptions& o,
            const std::function<double(size_t, size_t)>& pull = nullptr) {
    const double clip = Clip(g, o);
    for (size_t t = 0; t < w.size(); ++t) {
      for (size_t i = 0; i < w[t].size(); ++i) {
        double e = o.gradient_scale * clip * g[t][i];
        if (tensors[t].decay) e += o.l2 * w[t][i];
        if (pull && tensors[t].prune) e += pull(t, i);
        Update(t, i, e, o);
      }
    }
  }
};

inline double LargestDifference(const Doubles& a, const Doubles& b) {
  double largest = 0;
  for (size_t t = 0; t < a.size(); ++t) {
    for (size_t i = 0; i < a[t].size(); ++i) {
      const double difference = std::abs(a[t][i] - b[t][i]);
      largest = difference <= largest ? largest : difference;  // NaN stays
    }
  }
  return largest;
}

struct Named {
  const char* name;
  StepOptions options;
};

inline std::vector<Named> AllOptimizers() {
  StepOptions sgd;
  sgd.learning_rate = 0.01;
  StepOptions decayed = sgd;
  decayed.decay = 0.1;
  StepOptions momentum = sgd;
  momentum.momentum = 0.9;
  momentum.l2 = 0.01;
  StepOptions dampened = momentum;
  dampened.dampening = 0.3;
  StepOptions nesterov = momentum;
  nesterov.nesterov = true;
  nesterov.gradient_scale = 0.25;
  StepOptions clipped = momentum;
  clipped.max_gradient_norm = 0.5;
  StepOptions adam;
  adam.kind = OptimizerKind::kAdam;
  adam.learning_rate = 1e-3;
  adam.l2 = 1e-3;
  StepOptions adamw = adam;
  adamw.l2 = 0;
  adamw.decay = 0.05;
  adamw.max_gradient_norm = 1;
  StepOptions runtime = adamw;
  runtime.form = AdamForm::kRuntime;
  runtime.epsilon = 1e-6;
  StepOptions uncorrected = runtime;
  uncorrected.correct_bias = false;
  uncorrected.learning_rate = 1e-4;
  return {{"sgd", sgd},
          {"sgd decayed", decayed},
          {"momentum", momentum},
          {"dampened", dampened},
          {"nesterov", nesterov},
          {"clipped", clipped},
          {"adam", adam},
          {"adamw torch", adamw},
          {"adamw runtime", runtime},
          {"uncorrected", uncorrected}};
}

}  // namespace secateur::test

#endif  // SECATEUR_TEST_OPTIMIZER_REFERENCE_H_
