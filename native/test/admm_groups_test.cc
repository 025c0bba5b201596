// ADMM and masks by groups: against the textbook's two arrays, projected by plain loops; vectors
// that follow; going from one granularity to another; the same bits everywhere.
#include <cstring>
#include <memory>

#include "failures.h"
#include "groups_reference.h"
#include "optimizer_reference.h"
#include "secateur/admm.h"
#include "test.h"

namespace secateur::test {
namespace {

constexpr int64_t kAll = int64_t{1} << 40;

// A convolution, its bias, something else, and a matrix whose columns are outputs.
std::vector<StoreTensor> GroupTensors() {
  return {{"conv", 16 * 90, true, true},
          {"bias", 16, false, false, true},
          {"scale", 33, false, true},
          {"fc", 64 * 40, true, true}};
}

Grouping ByChannel() {
  std::vector<int32_t> conv;
  for (int32_t i = 0; i < 16; ++i) conv.push_back(i == 3 ? kNeverRemoved : i / 2);
  std::vector<int32_t> fc;
  for (int32_t i = 0; i < 40; ++i) fc.push_back(100 + i);
  Grouping grouping;
  grouping.tensors = {{{1, 1, 16, 90}, 1, kAll, conv, false},
                      {{1, 1, 16, 1}, 1, 1, conv, true},
                      {{1, 64, 40, 1}, 1, kAll, fc, false}};
  return grouping;
}

// No vectors follow n:m: the bias is a tensor as any other then.
std::vector<StoreTensor> WithinTensors() {
  std::vector<StoreTensor> tensors = GroupTensors();
  tensors[1].follow = false;
  return tensors;
}

Grouping TwoOfFour() {
  Grouping grouping;
  grouping.rule = GroupRule::kWithin;
  grouping.keep = 2;
  grouping.tensors = {{{1, 1, 36, 40}, 1, 4, {}, false}, {{1, 64, 40, 1}, 1, 4, {}, false}};
  return grouping;
}

Store GroupStore(const std::vector<StoreTensor>& tensors, const Grouping& grouping) {
  Store store = ParameterStore::Create(tensors);
  FillSlot(store, Slot::kParameters, 1, 0.1);
  SetGrouping(*store, grouping);
  return store;
}

// What the grouping keeps of values, by the reference; of all tensors of the store.
Kept ReferenceSupport(const Store& store, const Doubles& values, double ratio) {
  std::vector<Weights> weights;
  std::vector<size_t> members;
  for (size_t t = 0; t < values.size(); ++t) {
    if (!store->IsMasked(t)) continue;
    std::vector<float> floats(values[t].begin(), values[t].end());
    Weights& tensor = weights.emplace_back();
    tensor.bytes.resize(floats.size() * sizeof(float));
    std::memcpy(tensor.bytes.data(), floats.data(), tensor.bytes.size());
    members.push_back(t);
  }
  const Grouping& grouping = *store->grouping;
  const Kept selected = grouping.rule == GroupRule::kWithin
                            ? WithinKept(weights, grouping)
                            : WholeKept(weights, grouping, ratio, 0, true);
  Kept kept;
  for (const auto& tensor : values) kept.emplace_back(tensor.size(), true);
  for (size_t n = 0; n < members.size(); ++n) kept[members[n]] = selected[n];
  return kept;
}

int64_t CountRemoved(const Store& store, const Kept& kept) {
  int64_t removed = 0;
  for (size_t t = 0; t < kept.size(); ++t) {
    if (store->tensors()[t].prune) removed += std::count(kept[t].begin(), kept[t].end(), false);
  }
  return removed;
}

// The textbook: Z is the projection of W + U, U gathers W - Z.
struct Textbook {
  Doubles z, u;
  explicit Textbook(const Doubles& like) : z(like), u(like) {
    for (Doubles* each : {&z, &u}) {
      for (auto& tensor : *each) std::fill(tensor.begin(), tensor.end(), 0.0);
    }
  }

  Kept Project(const Store& store, const Doubles& w, double ratio) {
    Doubles v = w;
    for (size_t t = 0; t < w.size(); ++t) {
      for (size_t i = 0; i < w[t].size(); ++i) v[t][i] += u[t][i];
    }
    Kept kept = ReferenceSupport(store, v, ratio);
    for (size_t t = 0; t < w.size(); ++t) {
      for (size_t i = 0; i < w[t].size() && store->tensors()[t].prune; ++i) {
        z[t][i] = kept[t][i] ? v[t][i] : 0;
        u[t][i] = v[t][i] - z[t][i];
      }
    }
    return kept;
  }
};

void ExpectSupport(const Store& store, const Kept& kept) {
  for (size_t t = 0; t < kept.size(); ++t) {
    for (size_t i = 0; i < kept[t].size(); ++i)
      EXPECT_EQ(store->SupportBytes()[store->Offset(t) + static_cast<int64_t>(i)] != 0,
                bool{kept[t][i]});
  }
}

void FollowsTheTextbook(const Store& store, double ratio) {
  Reference reference(store);
  Textbook book(reference.w);
  StepOptions options = AllOptimizers()[2].options;
  options.step = 1;
  double rho_before = 0;
  const std::vector<double> rhos = {0.05, 0.2, 0.1, 0.02};
  for (size_t iteration = 0; iteration < rhos.size(); ++iteration) {
    Context() = "iteration " + std::to_string(iteration);
    ProjectOptions project;
    project.ratio = ratio;
    const ProjectResult result = AdmmProject(*store, project);
    const Kept kept = book.Project(store, reference.w, ratio);
    ExpectSupport(store, kept);
    EXPECT_EQ(result.removed, CountRemoved(store, kept));
    if (iteration == 0) EXPECT_EQ(result.changed, result.removed);
    for (auto& tensor : book.u) {
      for (double& u : tensor) u *= rho_before == 0 ? 1 : rho_before / rhos[iteration];
    }
    rho_before = options.rho = rhos[iteration];
    for (int n = 0; n < 5; ++n, ++options.step) {
      FillSlot(store, Slot::kGradients, static_cast<uint32_t>(options.step), 0.01);
      reference.Step(Copy(store, Slot::kGradients), options, [&](size_t t, size_t i) {
        return options.rho * (reference.w[t][i] - book.z[t][i] + book.u[t][i]);
      });
      OptimizerStep(*store, options);
    }
    EXPECT(LargestDifference(Copy(store, Slot::kParameters), reference.w) < 2e-6);
  }
}

TEST(ChannelsFollowTheTextbook) {
  FollowsTheTextbook(GroupStore(GroupTensors(), ByChannel()), 0.6);
}

TEST(TwoOfFourFollowsTheTextbook) {
  FollowsTheTextbook(GroupStore(WithinTensors(), TwoOfFour()), 0.5);
}

// Biases go with their channels and stay gone; other masks leave them.
TEST(MasksTakeWhatFollows) {
  const Store store = GroupStore(GroupTensors(), ByChannel());
  ProjectOptions project;
  project.ratio = 0.5;
  const ProjectResult projected = AdmmProject(*store, project);
  const MaskResult mask = MaskBySupport(*store, 2);
  EXPECT(projected.removed_by_tensor[1] > 0);
  EXPECT_EQ(mask.kept[1], 16 - projected.removed_by_tensor[1]);
  EXPECT_EQ(mask.kept[0] + mask.kept[3], projected.weights - projected.removed);
  EXPECT_EQ(mask.common, projected.weights - projected.removed);
  StepOptions options = AllOptimizers()[2].options;
  for (options.step = 1; options.step < 6; ++options.step) {
    FillSlot(store, Slot::kGradients, static_cast<uint32_t>(options.step), 0.05);
    OptimizerStep(*store, options);
    EXPECT_EQ(RevivedWeights(*store), 0);
  }
  int64_t zeros = 0;
  for (int64_t i = 0; i < 16; ++i) {
    const bool row_is_zero =
        std::count(store->Data(Slot::kParameters, 0) + i * 90,
                   store->Data(Slot::kParameters, 0) + (i + 1) * 90, 0.0f) == 90;
    EXPECT_EQ(store->Data(Slot::kParameters, 1)[i] == 0, row_is_zero);
    zeros += row_is_zero;
  }
  EXPECT_EQ(zeros, projected.removed_by_tensor[1]);
  const MaskResult magnitude = MaskByGroups(*store, project);
  EXPECT(magnitude.kept[1] < 16);
  store->Data(Slot::kParameters, 1)[3] = 0;
  EXPECT_EQ(MaskByZeros(*store, 0).kept[1], 16);
}

TEST(MagnitudesByGroups) {
  for (const bool within : {false, true}) {
    const Store store =
        within ? GroupStore(WithinTensors(), TwoOfFour()) : GroupStore(GroupTensors(), ByChannel());
    const Kept kept = ReferenceSupport(store, Copy(store, Slot::kParameters), 0.5);
    ProjectOptions options;
    options.ratio = 0.5;
    const MaskResult mask = MaskByGroups(*store, options);
    for (size_t t = 0; t < kept.size(); ++t) {
      EXPECT_EQ(mask.kept[t], std::count(kept[t].begin(), kept[t].end(), true));
      for (size_t i = 0; i < kept[t].size() && store->Mask(t) != nullptr; ++i)
        EXPECT_EQ(store->Mask(t)[i] != 0, bool{kept[t][i]});
    }
  }
}

// From weights to groups and back: Z + U = V, whoever decides.
TEST(GranularityMayChange) {
  const Store store = ParameterStore::Create(GroupTensors());
  FillSlot(store, Slot::kParameters, 1, 0.1);
  ProjectOptions project;
  project.ratio = 0.5;
  StepOptions options = AllOptimizers()[2].options;
  options.rho = 0.1;
  Reference reference(store);
  Textbook book(reference.w);
  const Grouping single = [] {
    Grouping grouping = ByChannel();
    for (GroupedTensor& tensor : grouping.tensors) {
      tensor.block_columns = 1;
      tensor.sets.clear();
    }
    grouping.tensors[2].view = {1, 1, 64, 40};
    return grouping;
  }();
  for (int iteration = 0; iteration < 5; ++iteration) {
    Context() = "iteration " + std::to_string(iteration);
    const bool grouped = iteration % 2 == 1;
    SetGrouping(*store, grouped ? std::optional(ByChannel()) : std::nullopt);
    const ProjectResult result = AdmmProject(*store, project);
    SetGrouping(*store, grouped ? ByChannel() : single);
    const Kept kept = book.Project(store, reference.w, project.ratio);
    EXPECT_EQ(result.removed, CountRemoved(store, kept));
    EXPECT_EQ(store->admm.by_support, grouped);
    FillSlot(store, Slot::kGradients, static_cast<uint32_t>(iteration), 0.01);
    options.step = iteration + 1;
    reference.Step(Copy(store, Slot::kGradients), options, [&](size_t t, size_t i) {
      return options.rho * (reference.w[t][i] - book.z[t][i] + book.u[t][i]);
    });
    OptimizerStep(*store, options);
    EXPECT(LargestDifference(Copy(store, Slot::kParameters), reference.w) < 1e-6);
  }
}

struct Run {
  Doubles w;
  Doubles v;
  std::vector<double> facts;
};

Run RunWith(const Backend* backend, int threads, const Store& store) {
  Run run;
  ProjectOptions project{0.5, Scope::kGlobal, 0, threads, backend};
  StepOptions options = AllOptimizers()[2].options;
  options.rho = 0.1;
  options.backend = backend;
  options.threads = threads;
  for (options.step = 1; options.step < 4; ++options.step) {
    const ProjectResult result = AdmmProject(*store, project);
    run.facts.insert(run.facts.end(),
                     {result.gap, result.moved, static_cast<double>(result.changed)});
    FillSlot(store, Slot::kGradients, static_cast<uint32_t>(options.step), 0.01);
    OptimizerStep(*store, options);
  }
  run.w = Copy(store, Slot::kParameters);
  run.v = Copy(store, Slot::kAdmm);
  return run;
}

TEST(TheSameBitsEverywhere) {
  for (const bool within : {false, true}) {
    const auto fresh = [&] {
      return within ? GroupStore(WithinTensors(), TwoOfFour())
                    : GroupStore(GroupTensors(), ByChannel());
    };
    const Run first = RunWith(nullptr, 1, fresh());
    for (const Backend* backend : SupportedBackends()) {
      for (const int threads : {1, 3}) {
        Context() = std::string(backend->name);
        const Run run = RunWith(backend, threads, fresh());
        EXPECT(run.w == first.w);
        EXPECT(run.v == first.v);
        EXPECT(run.facts == first.facts);
      }
    }
  }
}

TEST(SavedSupportContinuesWithTheSameBits) {
  const Store store = GroupStore(GroupTensors(), ByChannel());
  ProjectOptions project;
  project.ratio = 0.6;
  StepOptions options = AllOptimizers()[2].options;
  options.rho = 0.2;
  FillSlot(store, Slot::kGradients, 5, 0.02);
  AdmmProject(*store, project);
  OptimizerStep(*store, options);
  options.step = 2;
  const Store copy = GroupStore(GroupTensors(), ByChannel());
  for (int slot = 0; slot < kSlots; ++slot) {
    const auto which = static_cast<Slot>(slot);
    if (!store->Has(which)) continue;
    copy->Allocate(which);
    std::copy_n(store->Data(which), store->PaddedElements(), copy->Data(which));
  }
  copy->AllocateSupport();
  std::copy_n(store->SupportBytes(), store->PaddedElements(), copy->SupportBytes());
  RestoreAdmm(*copy, store->admm);
  for (const Store& each : {store, copy}) {
    OptimizerStep(*each, options);
    AdmmProject(*each, project);
    MaskBySupport(*each, 0);
  }
  EXPECT(Copy(store, Slot::kAdmm) == Copy(copy, Slot::kAdmm));
  EXPECT(Copy(store, Slot::kParameters) == Copy(copy, Slot::kParameters));
}

TEST(RefusesGroupingsOfOtherTensors) {
  const Store store = GroupStore(GroupTensors(), ByChannel());
  EXPECT_EQ(CodeOf([&] { SetGrouping(*store, TwoOfFour()); }), "INVALID_OPTION");
  EXPECT_EQ(store->grouping->tensors.size(), size_t{3});
  SetGrouping(*store, std::nullopt);
  EXPECT_EQ(CodeOf([&] { MaskByGroups(*store, {}); }), "INVALID_OPTION");
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
