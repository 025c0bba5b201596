// ADMM on one array against the textbook's two, exact counts, and masks under which nothing comes
// back.
#include "secateur/admm.h"

#include <limits>
#include <utility>

#include "failures.h"
#include "optimizer_reference.h"
#include "test.h"

namespace secateur::test {
namespace {

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

int64_t MomentsUnderMask(const Store& store) {
  int64_t nonzero = 0;
  for (Slot slot : {Slot::kFirstMoment, Slot::kSecondMoment}) {
    for (int64_t i = 0; store->Has(slot) && i < store->tensors()[3].count; ++i)
      nonzero += store->Mask(3)[i] == 0 && store->Data(slot, 3)[i] != 0;
  }
  return nonzero;
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
      EXPECT_EQ(MomentsUnderMask(store), 0);
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

// What is saved of a run goes on with the same bits.
TEST(SavedStateContinuesWithTheSameBits) {
  const Store store = MixedStore();
  ProjectOptions project;
  project.ratio = 0.8;
  StepOptions options = AllOptimizers()[7].options;
  options.rho = 0.3;
  FillSlot(store, Slot::kGradients, 5, 0.02);
  AdmmProject(*store, project);
  OptimizerStep(*store, options);
  options.rho = 0.1;  // the dual factor is no longer 1
  options.step = 2;
  OptimizerStep(*store, options);
  const Store copy = ParameterStore::Create(MixedTensors());
  for (int slot = 0; slot < kSlots; ++slot) {
    const auto which = static_cast<Slot>(slot);
    if (!store->Has(which)) continue;
    copy->Allocate(which);
    std::copy_n(store->Data(which), store->PaddedElements(), copy->Data(which));
  }
  RestoreAdmm(*copy, store->admm);
  options.step = 3;
  for (const Store& each : {store, copy}) {
    OptimizerStep(*each, options);
    AdmmProject(*each, project);
  }
  EXPECT(Copy(store, Slot::kAdmm) == Copy(copy, Slot::kAdmm));
  EXPECT(Copy(store, Slot::kParameters) == Copy(copy, Slot::kParameters));
  EXPECT_EQ(CodeOf([&] { RestoreAdmm(*copy, {1, 1, {}}); }), "INVALID_OPTION");
  ResetAdmm(*copy);
  EXPECT_EQ(CodeOf([&] { OptimizerStep(*copy, options); }), "INVALID_OPTION");
}

TEST(NonfiniteWeightsAreNamedAndChangeNothing) {
  const Store store = MixedStore();
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

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
