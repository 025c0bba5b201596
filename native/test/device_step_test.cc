// Training on a GPU (device.h says which) against the CPU's: two equal stores, one of them there,
// take the same steps and projections and have equal bits in every slot after each.
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>

#include "core/store_mirror.h"
#include "core/stretches.h"
#include "data.h"
#include "device.h"
#include "failures.h"
#include "secateur/admm.h"
#include "secateur/optimizer.h"
#include "test.h"

namespace secateur::test {
namespace {

constexpr Slot kState[] = {Slot::kParameters, Slot::kFirstMoment, Slot::kSecondMoment, Slot::kAdmm};

void Fill(const ParameterStore& store, Slot slot, uint32_t seed) {
  const std::vector<double> values = MakeValues("normal", store.PaddedElements(), seed);
  for (size_t i = 0; i < values.size(); ++i) store.Data(slot)[i] = static_cast<float>(values[i]);
}

// Odd sizes, so that tails of vectors, tiles and stretches are all met.
std::vector<StoreTensor> OddTensors() {
  return {{"a", 40001, true, true}, {"b", 7}, {"c", 0, true, true}, {"d", 9000, true, true}};
}

std::shared_ptr<ParameterStore> MakeStore(uint32_t seed, std::vector<StoreTensor> tensors) {
  auto store = ParameterStore::Create(std::move(tensors));
  Fill(*store, Slot::kParameters, seed);
  return store;
}

int64_t Differing(const float* a, const float* b, int64_t count) {
  int64_t differing = 0;
  for (int64_t i = 0; i < count; ++i)
    differing += std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i]);
  return differing;
}

// Two stores of equal content, one of which trains on the GPU.
struct Pair {
  std::shared_ptr<ParameterStore> here;
  std::shared_ptr<ParameterStore> there;
  uint32_t gradients = 100;

  explicit Pair(uint32_t seed, const std::vector<StoreTensor>& tensors = OddTensors())
      : here(MakeStore(seed, tensors)), there(MakeStore(seed, tensors)) {
    TrainOnDevice(*there, OpenDevice());
  }

  // New gradients, and a step on both.
  void Step(const StepOptions& options) {
    ++gradients;
    StepResult results[2];
    int which = 0;
    for (const auto& store : {here, there}) {
      Fill(*store, Slot::kGradients, gradients);
      results[which++] = OptimizerStep(*store, options);
    }
    EXPECT_EQ(results[0].applied, results[1].applied);
    EXPECT(std::isnan(results[0].gradient_norm) == std::isnan(results[1].gradient_norm));
    if (!std::isnan(results[0].gradient_norm))
      EXPECT_EQ(results[1].gradient_norm, results[0].gradient_norm);
    // Without being asked for: the runtime reads them where they are.
    EXPECT_EQ(Differing(there->Data(Slot::kParameters), here->Data(Slot::kParameters),
                        here->PaddedElements()),
              0);
  }

  void Project(const ProjectOptions& options) {
    const ProjectResult want = AdmmProject(*here, options);
    const ProjectResult got = AdmmProject(*there, options);
    EXPECT_EQ(got.gap, want.gap);
    EXPECT_EQ(got.moved, want.moved);
    EXPECT_EQ(got.changed, want.changed);
    EXPECT_EQ(got.removed, want.removed);
    EXPECT_EQ(got.weights, want.weights);
    EXPECT(got.removed_by_tensor == want.removed_by_tensor);
  }

  void On(const std::function<void(ParameterStore&)>& body) const {
    body(*here);
    body(*there);
  }

  void ExpectEqual() const {
    for (const Slot slot : kState) {
      EXPECT_EQ(there->Has(slot), here->Has(slot));
      if (!here->Has(slot)) continue;
      there->BringHome(slot);
      EXPECT_EQ(Differing(there->Data(slot), here->Data(slot), here->PaddedElements()), 0);
    }
  }
};

std::vector<StepOptions> Optimizers() {
  return {
      {.learning_rate = 0.1},
      {.learning_rate = 0.1, .gradient_scale = 0.25, .l2 = 1e-3},
      {.learning_rate = 0.1, .decay = 1e-2, .momentum = 0.9},
      {.learning_rate = 0.1, .momentum = 0.9, .dampening = 0.1},
      {.learning_rate = 0.1, .l2 = 1e-4, .momentum = 0.9, .nesterov = true},
      {.learning_rate = 0.1, .max_gradient_norm = 0.5, .momentum = 0.9},
      {.kind = OptimizerKind::kAdam, .learning_rate = 1e-3, .measure_norm = true},
      {.kind = OptimizerKind::kAdam, .learning_rate = 1e-3, .decay = 0.01},
      {.kind = OptimizerKind::kAdam, .learning_rate = 1e-3, .l2 = 0.01, .correct_bias = false},
      {.kind = OptimizerKind::kAdam,
       .learning_rate = 1e-3,
       .decay = 0.01,
       .form = AdamForm::kRuntime},
  };
}

template <class Body>
void ForOptimizers(const Body& body) {
  int number = 0;
  for (const StepOptions& options : Optimizers()) {
    Context() = "optimizer " + std::to_string(number++);
    body(options);
  }
}

TEST(Steps) {
  ForOptimizers([](StepOptions options) {
    Pair pair(1);
    for (options.step = 1; options.step <= 3; ++options.step) pair.Step(options);
    pair.ExpectEqual();
  });
}

TEST(StepsWithThePullOfAdmm) {
  ForOptimizers([](StepOptions options) {
    Pair pair(2);
    for (options.step = 1; options.step <= 3; ++options.step) {
      if (options.step != 2) pair.Project({.ratio = 0.8});
      options.rho = 0.01 * static_cast<double>(options.step);
      pair.Step(options);
    }
    pair.ExpectEqual();
  });
}

// The mask comes after a step has made moments on the GPU: they are zeroed, too.
TEST(StepsUnderAMask) {
  ForOptimizers([](StepOptions options) {
    Pair pair(3);
    pair.Project({.ratio = 0.8});
    pair.Step(options);
    pair.On([](ParameterStore& store) { MaskBySupport(store, 0); });
    for (options.step = 2; options.step <= 3; ++options.step) pair.Step(options);
    EXPECT_EQ(RevivedWeights(*pair.there), 0);
    pair.ExpectEqual();
    pair.On([](ParameterStore& store) { ClearMask(store); });
    pair.Step(options);
    pair.ExpectEqual();
  });
}

// What Z keeps of groups is bytes, which the CPU projects to and the kernel of steps reads; and
// back.
TEST(StepsWithThePullOfGroups) {
  const auto two_of_four = [] {
    Grouping grouping{GroupRule::kWithin, 2, {}};
    for (const MatrixView& view : {MatrixView{1, 1, 100, 400}, {1, 1, 9, 1000}})
      grouping.tensors.push_back({view, 1, 4, {}, false});
    return grouping;
  };
  Pair pair(13, {{"a", 40000, true, true}, {"b", 7}, {"d", 9000, true, true}});
  pair.On([&](ParameterStore& store) { SetGrouping(store, two_of_four()); });
  pair.Project({});
  pair.Step({.learning_rate = 0.1, .momentum = 0.9, .rho = 0.01});
  pair.Project({});
  pair.Step({.step = 2, .learning_rate = 0.1, .momentum = 0.9, .rho = 0.02});
  pair.ExpectEqual();
  pair.On([](ParameterStore& store) { SetGrouping(store, std::nullopt); });
  for (const double ratio : {0.7, 0.8}) {
    pair.Project({.ratio = ratio});
    pair.Step({.step = 3, .learning_rate = 0.1, .momentum = 0.9, .rho = 0.02});
  }
  pair.ExpectEqual();
}

// A change of optimizer: plain steps after momenta, which the mask still has to hold at zero.
TEST(MomentsThatAreNotUsed) {
  Pair pair(4);
  pair.Step({.learning_rate = 0.1, .momentum = 0.9});
  pair.On([](ParameterStore& store) { MaskByZeros(store, 0); });
  pair.On([](ParameterStore& store) {
    const std::vector<TensorThreshold> all(3, {.tie_begin = 0x3f000000, .tie_end = 0x3f000000});
    MaskBySelection(store, all, 0);
  });
  pair.Step({.step = 2, .learning_rate = 0.1});
  pair.ExpectEqual();
}

// What is written here between two steps is seen there, once the slot was brought home for it.
TEST(WritesBetweenSteps) {
  Pair pair(5);
  const StepOptions adam = {.kind = OptimizerKind::kAdam, .learning_rate = 1e-2};
  pair.Step(adam);
  uint32_t seed = 40;
  for (const Slot slot : {Slot::kParameters, Slot::kFirstMoment}) {
    ++seed;
    pair.On([&](ParameterStore& store) {
      store.BringHome(slot);
      Fill(store, slot, seed);
    });
  }
  pair.Step(adam);
  pair.ExpectEqual();
}

TEST(ReturnsToTheCpu) {
  Pair pair(6);
  const StepOptions adam = {.kind = OptimizerKind::kAdam, .learning_rate = 1e-2};
  pair.Step(adam);
  TrainOnDevice(*pair.there, nullptr);
  EXPECT(pair.there->mirror == nullptr);
  for (const Slot slot : {Slot::kFirstMoment, Slot::kSecondMoment})
    EXPECT_EQ(Differing(pair.there->Data(slot), pair.here->Data(slot), pair.here->PaddedElements()),
              0);
  pair.Step(adam);
  pair.ExpectEqual();
}

TEST(RefusesInfiniteGradients) {
  Pair pair(7);
  pair.Step({.learning_rate = 0.1});
  for (const auto& store : {pair.here, pair.there}) {
    store->Data(Slot::kGradients)[3] = INFINITY;
    EXPECT(!OptimizerStep(*store, {.learning_rate = 0.1, .max_gradient_norm = 1}).applied);
  }
  pair.ExpectEqual();
}

TEST(NormsUnderAMask) {
  Pair pair(8);
  pair.Project({.ratio = 0.7});
  pair.On([](ParameterStore& store) { MaskBySupport(store, 0); });
  pair.Step({.learning_rate = 0.01, .gradient_scale = 0.5, .measure_norm = true});
}

// W + U of the pruned tensors, with ties cut inside one: the kernel against its definition.
TEST(NextWeights) {
  const auto store = MakeStore(9, OddTensors());
  store->Allocate(Slot::kAdmm);
  Fill(*store, Slot::kAdmm, 10);
  store->admm.dual = 0.75;
  constexpr uint64_t kTie = 0x3f000000;  // of 0.5, met before the cut and after it
  for (const int i : {9'000, 20'000}) store->Data(Slot::kAdmm)[i] = 0.5F;
  const std::vector<TensorThreshold> before = {
      {.tie_begin = kTie, .tie_end = kTie + 1, .tie_cut = 10'000}, {}, {}, {.tie_end = 0x3f800000}};
  TrainOnDevice(*store, OpenDevice());
  const Source& next = store->mirror->Next(before);
  int64_t differing = 0;
  int64_t moved = 0;
  for (const size_t t : {0, 3}) {
    const int64_t count = store->tensors()[t].count;
    std::vector<float> got(static_cast<size_t>(count));
    auto* scratch = reinterpret_cast<std::byte*>(got.data());
    next.Read(store->Offset(t) * 4, count * 4, scratch);
    for (int64_t i = 0; i < count; ++i) {
      const float w = store->Data(Slot::kParameters, t)[i];
      const float v = store->Data(Slot::kAdmm, t)[i];
      const uint32_t key = std::bit_cast<uint32_t>(v) & 0x7fffffff;
      const TensorThreshold& at = before[t];
      const bool kept = key >= (i < at.tie_cut ? at.tie_begin : at.tie_end);
      const float want = kept ? w : w + 0.75F * v;
      differing += std::bit_cast<uint32_t>(want) != std::bit_cast<uint32_t>(got[i]);
      moved += kept ? 0 : 1;
    }
  }
  EXPECT_EQ(differing, 0);
  EXPECT(moved > 10'000 && moved < 40'000);
}

TEST(Projections) {
  for (const Scope scope : {Scope::kGlobal, Scope::kLayer}) {
    Pair pair(11);
    for (const double ratio : {0.6, 0.8, 0.0}) {
      pair.Project({.ratio = ratio, .scope = scope, .min_keep = 0.05});
      pair.ExpectEqual();
      // W moves on, so that the next projection has something to do.
      pair.Step({.learning_rate = 0.05, .rho = 0.02});
    }
    pair.On([](ParameterStore& store) { ResetAdmm(store); });
    pair.Project({.ratio = 0.5});
    pair.ExpectEqual();
  }
}

// Select's error leaves the state as it was, and names the tensor.
TEST(ProjectionOfWhatIsNotFinite) {
  Pair pair(12);
  pair.Project({.ratio = 0.5});
  pair.Step({.learning_rate = 0.01, .rho = 0.1});
  for (const auto& store : {pair.here, pair.there}) {
    store->BringHome(Slot::kParameters);
    store->Data(Slot::kParameters, 3)[17] = NAN;
    EXPECT_EQ(CodeAndPlaceOf([&] { AdmmProject(*store, {.ratio = 0.5}); }),
              std::string("NONFINITE_WEIGHT d 17"));
  }
  pair.ExpectEqual();
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunDeviceTests(); }
