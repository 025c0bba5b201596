// Optimizers against plain loops in double precision; equal bits over backends and thread counts,
// projections included.
#include "secateur/optimizer.h"

#include <cstring>
#include <limits>
#include <thread>

#include "failures.h"
#include "optimizer_reference.h"
#include "secateur/admm.h"
#include "test.h"

namespace secateur::test {
namespace {

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
  Store store = MixedStore();
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

// ThreadsFor keeps small stores on one thread; this one is large enough for two in the
// pass with the fewest bytes, the norm.
TEST(LargeStoresGiveEqualBits) {
  std::vector<float> expected;
  double expected_norm = 0;
  for (int threads : {1, 2, 4}) {
    Context() = "threads " + std::to_string(threads);
    const Store store = ParameterStore::Create({{"a", 2200007, true, true}, {"b", 99, true, true}});
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
