// Optimizers and ADMM against plain loops in double precision and against the textbook's two
// arrays; equal bits over backends and thread counts.
#include "secateur/optimizer.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <thread>

#include "secateur/admm.h"
#include "secateur/error.h"
#include "test.h"

namespace secateur::test {
namespace {

using Store = std::shared_ptr<ParameterStore>;
using Doubles = std::vector<std::vector<double>>;

// Odd sizes, so that tails of vectors, blocks and stretches are all met.
std::vector<StoreTensor> MixedTensors() {
  return {{"conv", 500, true, true}, {"bias", 7, false, false},     {"empty", 0, true, true},
          {"fc", 70001, true, true}, {"frozen", 1025, true, false}, {"scale", 33, false, true}};
}

void FillSlot(const Store& store, Slot slot, uint32_t seed, double deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, deviation);
  for (size_t t = 0; t < store->tensors().size(); ++t) {
    for (int64_t i = 0; i < store->tensors()[t].count; ++i)
      store->Data(slot, t)[i] = static_cast<float>(normal(random));
  }
}

Store MixedStore() {
  Store store = ParameterStore::Create(MixedTensors());
  FillSlot(store, Slot::kParameters, 1, 0.1);
  return store;
}

Doubles Copy(const Store& store, Slot slot) {
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

double LargestDifference(const Doubles& a, const Doubles& b) {
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

std::vector<Named> AllOptimizers() {
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

TEST(EveryOptimizerAgreesWithItsDefinition) {
  for (const auto& [name, given] : AllOptimizers()) {
    Context() = name;
    const Store store = MixedStore();
    Reference reference(store);
    StepOptions options = given;
    for (options.step = 1; options.step <= 12; ++options.step) {
      FillSlot(store, Slot::kGradients, static_cast<uint32_t>(100 + options.step), 0.02);
      reference.Step(Copy(store, Slot::kGradients), options);
      EXPECT(OptimizerStep(*store, options).applied);
    }
    const double difference = LargestDifference(Copy(store, Slot::kParameters), reference.w);
    Context() += " difference " + std::to_string(difference * 1e6) + "e-6";
    EXPECT(difference < 1e-6);
    EXPECT(LargestDifference(Copy(store, Slot::kFirstMoment), reference.m) < 1e-6);
  }
}

// Five steps with all that can be fused, a projection between them, and a mask at last.
Store RunEverything(const StepOptions& given, int threads, const Backend* backend,
                    std::vector<double>* numbers) {
  const Store store = MixedStore();
  ProjectOptions project;
  project.ratio = 0.8;
  project.threads = threads;
  project.backend = backend;
  StepOptions options = given;
  options.threads = threads;
  options.backend = backend;
  options.measure_norm = true;
  for (options.step = 1; options.step <= 5; ++options.step) {
    if (options.step % 2 == 1) {
      const ProjectResult result = AdmmProject(*store, project);
      for (double number : {result.gap, result.moved, static_cast<double>(result.changed)})
        numbers->push_back(number);
    }
    if (options.step == 5) MaskBySupport(*store, threads);
    options.rho = options.step < 4 ? 0.5 : 0.1;
    FillSlot(store, Slot::kGradients, static_cast<uint32_t>(options.step), 0.02);
    numbers->push_back(OptimizerStep(*store, options).gradient_norm);
    UpdateAverage(*store, 0.9, threads, backend);
  }
  return store;
}

TEST(BackendsAndThreadCountsGiveEqualBits) {
  for (const auto& [name, options] : AllOptimizers()) {
    std::vector<double> expected_numbers;
    const Store expected = RunEverything(options, 1, SupportedBackends().back(), &expected_numbers);
    for (const Backend* backend : SupportedBackends()) {
      for (int threads : {1, 2, 5}) {
        Context() = std::string(name) + " " + std::string(backend->name) + " threads " +
                    std::to_string(threads);
        std::vector<double> numbers;
        const Store store = RunEverything(options, threads, backend, &numbers);
        EXPECT(numbers == expected_numbers);
        for (int slot = 0; slot < kSlots; ++slot) {
          const auto which = static_cast<Slot>(slot);
          EXPECT_EQ(store->Has(which), expected->Has(which));
          if (!store->Has(which)) continue;
          EXPECT(std::memcmp(store->Data(which), expected->Data(which),
                             static_cast<size_t>(store->PaddedElements()) * sizeof(float)) == 0);
        }
      }
    }
  }
}

// ThreadsFor keeps small stores on one thread; this one is large enough for several.
TEST(LargeStoresGiveEqualBits) {
  std::vector<float> expected;
  double expected_norm = 0;
  for (int threads : {1, 2, 4}) {
    Context() = "threads " + std::to_string(threads);
    const Store store = ParameterStore::Create({{"a", 1200007, true, true}, {"b", 99, true, true}});
    FillSlot(store, Slot::kParameters, 3, 0.1);
    FillSlot(store, Slot::kGradients, 4, 0.1);
    StepOptions options = AllOptimizers()[7].options;
    options.threads = threads;
    ProjectOptions project;
    project.ratio = 0.9;
    project.threads = threads;
    AdmmProject(*store, project);
    options.rho = 0.1;
    const double norm = OptimizerStep(*store, options).gradient_norm;
    project.ratio = 0.95;
    AdmmProject(*store, project);
    const float* v = store->Data(Slot::kAdmm);
    if (threads == 1) {
      expected.assign(v, v + store->PaddedElements());
      expected_norm = norm;
    }
    EXPECT_EQ(norm, expected_norm);
    EXPECT(std::memcmp(expected.data(), v, expected.size() * sizeof(float)) == 0);
  }
}

// Kernels alone at every small size and off any alignment but a float's, with guards around.
TEST(KernelsStayInsideTheirArrays) {
  for (const Backend* backend : SupportedBackends()) {
    for (int64_t count = 0; count < 200; ++count) {
      Context() = std::string(backend->name) + " n=" + std::to_string(count);
      const auto shift = static_cast<size_t>(count % 5);
      std::vector<float> w(count + 8 + shift, 7.0f), e = w, m = w, v = w;
      const AdamArgs args{0.1f, 0.9f, 0.1f, 0.99f, 0.01f, 1.5f, 1e-3f};
      for (int64_t i = 0; i < count; ++i) {
        w[shift + i] = static_cast<float>(i) * 0.25f - 9;
        e[shift + i] = static_cast<float>(i % 7) - 3;
        m[shift + i] = 0;
        v[shift + i] = 0;
      }
      const std::vector<float> before = w;
      std::vector<uint8_t> keep(count + 1);
      for (int64_t i = 0; i < count; ++i) keep[i] = i % 3 == 0 ? 1 : 0;
      backend->optimizer.adam(w.data() + shift, e.data() + shift, m.data() + shift,
                              v.data() + shift, count, args);
      backend->optimizer.keep(w.data() + shift, keep.data(), count);
      double sum = 0;
      for (int64_t i = 0; i < count; ++i) {
        const float x = e[shift + i];
        sum += static_cast<double>(x) * x;
        const float first = 0.9f * 0.0f + 0.1f * x;
        const float second = 0.99f * 0.0f + 0.01f * (x * x);
        const float updated =
            before[shift + i] - 0.1f * (first / (std::sqrt(second) * 1.5f + 1e-3f));
        EXPECT_EQ(w[shift + i], keep[i] ? updated : 0.0f);
      }
      EXPECT_EQ(backend->optimizer.sum_squares(e.data() + shift, count), sum);  // small integers
      for (const std::vector<float>* array : {&w, &m, &v}) {
        for (size_t i = 0; i < shift; ++i) EXPECT_EQ((*array)[i], 7.0f);
        for (size_t i = shift + count; i < array->size(); ++i) EXPECT_EQ((*array)[i], 7.0f);
      }
    }
  }
}

// The two arrays of the textbook, projected by sorting.
struct Textbook {
  Doubles z, u;
  explicit Textbook(const Doubles& like) : z(like), u(like) {
    for (auto& tensor : u) std::fill(tensor.begin(), tensor.end(), 0.0);
    for (auto& tensor : z) std::fill(tensor.begin(), tensor.end(), 0.0);
  }

  // Returns {||W - Z||, ||Z - Z before||}.
  std::pair<double, double> Project(const std::vector<StoreTensor>& tensors, const Doubles& w,
                                    double ratio, bool first) {
    std::vector<double> magnitudes;
    Doubles v = w;
    for (size_t t = 0; t < w.size(); ++t) {
      for (size_t i = 0; i < w[t].size() && tensors[t].prune; ++i) {
        v[t][i] = w[t][i] + u[t][i];
        magnitudes.push_back(std::abs(v[t][i]));
      }
    }
    std::sort(magnitudes.begin(), magnitudes.end());
    const double threshold =
        magnitudes[RemovedCount(ratio, static_cast<int64_t>(magnitudes.size()))];
    double gap = 0;
    double moved = 0;
    for (size_t t = 0; t < w.size(); ++t) {
      for (size_t i = 0; i < w[t].size() && tensors[t].prune; ++i) {
        const double next = std::abs(v[t][i]) >= threshold ? v[t][i] : 0;
        moved += (next - z[t][i]) * (next - z[t][i]);
        z[t][i] = next;
        gap += (w[t][i] - next) * (w[t][i] - next);
        u[t][i] = first ? v[t][i] - next : u[t][i] + w[t][i] - next;
      }
    }
    return {std::sqrt(gap), std::sqrt(moved)};
  }
};

// Over rising and falling rho.
TEST(OneArrayEqualsTheTextbooksTwo) {
  const Store store = MixedStore();
  Reference reference(store);
  Textbook book(reference.w);
  StepOptions options = AllOptimizers()[2].options;
  const std::vector<double> rhos = {0.05, 0.05, 0.2, 0.1, 0.02, 0.5};
  options.step = 1;
  double rho_before = 0;
  for (size_t iteration = 0; iteration < rhos.size(); ++iteration) {
    Context() = "iteration " + std::to_string(iteration);
    ProjectOptions project;
    project.ratio = 0.9;
    const ProjectResult result = AdmmProject(*store, project);
    const auto [gap, moved] =
        book.Project(store->tensors(), reference.w, project.ratio, iteration == 0);
    EXPECT(std::abs(result.gap - gap) < 1e-4 * gap);
    EXPECT(std::abs(result.moved - moved) < 1e-4 * moved);
    EXPECT_EQ(result.removed, RemovedCount(0.9, 500 + 70001 + 1025));
    if (rho_before != 0) {
      for (auto& tensor : book.u) {
        for (double& u : tensor) u *= rho_before / rhos[iteration];
      }
    }
    rho_before = options.rho = rhos[iteration];
    for (int n = 0; n < 8; ++n, ++options.step) {
      FillSlot(store, Slot::kGradients, static_cast<uint32_t>(options.step), 0.01);
      reference.Step(Copy(store, Slot::kGradients), options, [&](size_t t, size_t i) {
        return options.rho * (reference.w[t][i] - book.z[t][i] + book.u[t][i]);
      });
      OptimizerStep(*store, options);
    }
    const double difference = LargestDifference(Copy(store, Slot::kParameters), reference.w);
    Context() += " difference " + std::to_string(difference * 1e6) + "e-6";
    EXPECT(difference < 2e-6);
  }
}

TEST(ProjectionKeepsExactlyTheRatioWithTies) {
  const Store store = ParameterStore::Create({{"a", 1001, true, true}, {"b", 40000, true, true}});
  for (size_t t = 0; t < 2; ++t) {
    for (int64_t i = 0; i < store->tensors()[t].count; ++i)
      store->Data(Slot::kParameters, t)[i] = i % 2 == 0 ? 0.5f : -0.5f;
  }
  ProjectOptions project;
  project.ratio = 0.3;
  const ProjectResult result = AdmmProject(*store, project);
  EXPECT_EQ(result.removed, RemovedCount(0.3, 41001));
  const MaskResult mask = MaskBySupport(*store, 2);
  EXPECT_EQ(mask.kept[0] + mask.kept[1], 41001 - result.removed);
  EXPECT_EQ(mask.common, mask.kept[0] + mask.kept[1]);
  EXPECT_EQ(result.changed, result.removed);
  project.scope = Scope::kLayer;
  const ProjectResult layers = AdmmProject(*store, project);
  EXPECT_EQ(layers.removed_by_tensor[0], RemovedCount(0.3, 1001));
  EXPECT_EQ(layers.removed_by_tensor[1], RemovedCount(0.3, 40000));
}

TEST(NothingRemovedComesBack) {
  for (const auto& [name, given] : AllOptimizers()) {
    Context() = name;
    const Store store = MixedStore();
    StepOptions options = given;
    for (options.step = 1; options.step <= 3; ++options.step) {  // momenta before the mask
      FillSlot(store, Slot::kGradients, static_cast<uint32_t>(options.step), 0.05);
      OptimizerStep(*store, options);
    }
    ProjectOptions project;
    project.ratio = 0.7;
    const ProjectResult projected = AdmmProject(*store, project);
    const MaskResult mask = MaskBySupport(*store, 0);
    int64_t kept = 0;
    for (size_t t : {0, 2, 3, 4}) kept += mask.kept[t];
    EXPECT_EQ(kept, projected.weights - projected.removed);
    const float bias = store->Data(Slot::kParameters, 1)[0];
    for (; options.step <= 20; ++options.step) {
      FillSlot(store, Slot::kGradients, static_cast<uint32_t>(options.step), 0.05);
      store->Data(Slot::kGradients, 3)[0] =
          options.max_gradient_norm > 0 ? 0.05f : std::numeric_limits<float>::quiet_NaN();
      store->Mask(3)[0] = 0;
      OptimizerStep(*store, options);
      EXPECT_EQ(RevivedWeights(*store), 0);
    }
    EXPECT(store->Data(Slot::kParameters, 1)[0] != bias);
    const MaskResult by_zeros = MaskByZeros(*store, 0);
    EXPECT(by_zeros.kept[3] <= mask.kept[3]);
    store->Data(Slot::kParameters, 3)[0] = 1;
    EXPECT_EQ(RevivedWeights(*store), 1);
    ApplyStoreMask(*store, 0);
    EXPECT_EQ(RevivedWeights(*store), 0);
    ClearMask(*store);
    EXPECT_EQ(store->Mask(3), nullptr);
  }
}

TEST(ClippingMeasuresWhatTheMaskKeeps) {
  const Store store = ParameterStore::Create({{"a", 100, true, false}, {"b", 2, false, false}});
  std::fill_n(store->Data(Slot::kGradients, 0), 100, 3.0f);
  std::fill_n(store->Data(Slot::kGradients, 1), 2, 4.0f);
  StepOptions options;
  options.learning_rate = 1;
  options.max_gradient_norm = 1;
  options.gradient_scale = 0.5;
  EXPECT_EQ(OptimizerStep(*store, options).gradient_norm, 0.5 * std::sqrt(900.0 + 32.0));
  store->AllocateMask();
  std::fill_n(store->Mask(0), 99, uint8_t{0});
  EXPECT_EQ(OptimizerStep(*store, options).gradient_norm, 0.5 * std::sqrt(9.0 + 32.0));
  const Doubles before = Copy(store, Slot::kParameters);
  store->Data(Slot::kGradients, 1)[1] = std::numeric_limits<float>::infinity();
  EXPECT(!OptimizerStep(*store, options).applied);
  EXPECT(Copy(store, Slot::kParameters) == before);
}

TEST(AverageFollowsTheParameters) {
  const Store store = MixedStore();
  UpdateAverage(*store, 0.75, 0, nullptr);
  EXPECT(Copy(store, Slot::kAverage) == Copy(store, Slot::kParameters));
  store->Data(Slot::kParameters, 1)[3] = 2;
  const float before = store->Data(Slot::kAverage, 1)[3];
  UpdateAverage(*store, 0.75, 0, nullptr);
  EXPECT_EQ(store->Data(Slot::kAverage, 1)[3], 0.75f * before + 0.25f * 2.0f);
}

std::string CodeOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return "none";
}

TEST(BadInputIsRefusedAndChangesNothing) {
  const Store store = MixedStore();
  const Doubles before = Copy(store, Slot::kParameters);
  const auto refuses = [&](const std::function<void(StepOptions&)>& spoil) {
    StepOptions options;
    options.learning_rate = 0.1;
    spoil(options);
    EXPECT_EQ(CodeOf([&] { OptimizerStep(*store, options); }), "INVALID_OPTION");
  };
  refuses([](StepOptions& o) { o.learning_rate = -1; });
  refuses([](StepOptions& o) { o.learning_rate = std::nan(""); });
  refuses([](StepOptions& o) { o.step = 0; });
  refuses([](StepOptions& o) { o.momentum = 1; });
  refuses([](StepOptions& o) { o.beta2 = -0.1; });
  refuses([](StepOptions& o) { o.dampening = 1.5; });
  refuses([](StepOptions& o) { o.rho = 0.1; });  // nothing projected yet
  EXPECT_EQ(CodeOf([&] { MaskBySupport(*store, 0); }), "INVALID_OPTION");
  EXPECT_EQ(CodeOf([&] { MaskBySelection(*store, {}, 0); }), "INVALID_OPTION");
  EXPECT_EQ(CodeOf([&] { ParameterStore::Create({{"a", -1, true, true}}); }), "INVALID_OPTION");
  EXPECT(Copy(store, Slot::kParameters) == before);
  store->Data(Slot::kParameters, 3)[12] = std::nanf("");
  ProjectOptions project;
  project.ratio = 0.5;
  try {
    AdmmProject(*store, project);
    EXPECT(false);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "NONFINITE_WEIGHT");
    EXPECT_EQ(error.tensor(), "fc");
    EXPECT_EQ(error.index(), 12);
  }
  EXPECT(store->admm.thresholds.empty());
}

TEST(StoresAreFoundByIdWhileHeld) {
  Store store = MixedStore();
  const int64_t id = store->id();
  EXPECT(ParameterStore::Open(id) == store);
  std::thread([id] { ParameterStore::Open(id)->Data(Slot::kGradients, 0)[0] = 5; }).join();
  EXPECT_EQ(store->Data(Slot::kGradients, 0)[0], 5.0f);
  store.reset();
  EXPECT_EQ(CodeOf([&] { ParameterStore::Open(id); }), "INVALID_OPTION");
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
