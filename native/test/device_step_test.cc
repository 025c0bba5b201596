// The kernels of training on a GPU (device.h says which) against the CPU's steps and projections:
// equal bits. The mapping of options to arguments is here, since no driver calls these kernels yet.
#include <bit>
#include <cmath>

#include "core/device_memory.h"
#include "core/device_plan.h"
#include "core/stretches.h"
#include "data.h"
#include "device.h"
#include "secateur/admm.h"
#include "secateur/optimizer.h"
#include "test.h"

namespace secateur::test {
namespace {

std::shared_ptr<ParameterStore> MakeStore(uint32_t seed) {
  auto store = ParameterStore::Create({{"a", 40001, true, true, false},
                                       {"b", 7, false, false, false},
                                       {"c", 0, true, true, false},
                                       {"d", 9000, true, true, false}});
  store->Allocate(Slot::kFirstMoment);
  store->Allocate(Slot::kSecondMoment);
  for (Slot slot : {Slot::kParameters, Slot::kGradients, Slot::kFirstMoment, Slot::kSecondMoment}) {
    const std::vector<double> values = MakeValues("normal", store->PaddedElements(), seed++);
    for (size_t i = 0; i < values.size(); ++i)
      store->Data(slot)[i] =
          static_cast<float>(slot == Slot::kSecondMoment ? std::abs(values[i]) : values[i]);
  }
  return store;
}

cuda::Bounds BoundsFrom(const TensorThreshold& threshold) {
  return {BoundOf(threshold.tie_begin), BoundOf(threshold.tie_end), threshold.tie_cut};
}

// A store's arrays on the device, laid out as the store has them.
struct DeviceStore {
  SharedQueue queue;
  std::vector<cuda::Entry> entries;
  std::vector<cuda::StepSwitches> switches;
  std::vector<cuda::Bounds> bounds;
  DeviceBuffer device_entries, device_switches, device_bounds;
  DeviceBuffer w, g, m, v, admm, keep;
  int64_t tiles = 0;

  DeviceStore(const Device& device, const ParameterStore& store, int64_t tile)
      : queue(std::make_shared<const DeviceQueue>(device)) {
    for (size_t t = 0; t < store.tensors().size(); ++t) {
      const StoreTensor& tensor = store.tensors()[t];
      entries.push_back({store.Offset(t) * 4, tensor.count, tiles, 0, 1, 0, 0});
      tiles += (tensor.count + tile - 1) / tile;
      const TensorThreshold threshold =
          store.admm.thresholds.empty() ? TensorThreshold{} : store.admm.thresholds[t];
      bounds.push_back(BoundsFrom(threshold));
      switches.push_back({bounds.back(), tensor.prune, tensor.decay, store.IsMasked(t)});
    }
    device_entries = Uploaded(queue, entries);
    device_switches = Uploaded(queue, switches);
    device_bounds = Uploaded(queue, bounds);
    w = Copy(store, Slot::kParameters);
    g = Copy(store, Slot::kGradients);
    m = Copy(store, Slot::kFirstMoment);
    v = Copy(store, Slot::kSecondMoment);
    if (store.Has(Slot::kAdmm)) admm = Copy(store, Slot::kAdmm);
    if (store.HasMask()) {
      const std::vector<uint8_t> bytes(store.MaskBytes(),
                                       store.MaskBytes() + store.PaddedElements());
      keep = Uploaded(queue, bytes);
    }
  }

  DeviceBuffer Copy(const ParameterStore& store, Slot slot) const {
    return Uploaded(
        queue, std::vector<float>(store.Data(slot), store.Data(slot) + store.PaddedElements()));
  }
  cuda::Tiles All() const {
    return {nullptr, device_entries.As<cuda::Entry>(), static_cast<int64_t>(entries.size()), 0,
            tiles};
  }
  void ExpectEqual(const DeviceBuffer& buffer, const ParameterStore& store, Slot slot) const {
    const std::vector<float> got = Downloaded(*queue, buffer.As<float>(), store.PaddedElements());
    int64_t differing = 0;
    for (size_t i = 0; i < got.size(); ++i)
      differing += std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(store.Data(slot)[i]);
    EXPECT_EQ(differing, 0);
  }
};

cuda::StepArgs ArgsOf(const DeviceStore& there, const ParameterStore& store, const StepOptions& o) {
  const auto steps = static_cast<double>(o.step);
  const double first = 1 - std::pow(o.beta1, steps);
  const double second = std::sqrt(1 - std::pow(o.beta2, steps));
  const bool adam = o.kind == OptimizerKind::kAdam;
  const bool torch = o.form == AdamForm::kTorch;
  const double rate = adam ? o.learning_rate / first * (torch ? 1 : second) : o.learning_rate;
  return {there.All(),
          there.w.As<float>(),
          there.g.As<float>(),
          adam || o.momentum != 0 ? there.m.As<float>() : nullptr,
          adam ? there.v.As<float>() : nullptr,
          o.rho != 0 ? there.admm.As<float>() : nullptr,
          there.keep.As<uint8_t>(),
          there.device_switches.As<cuda::StepSwitches>(),
          adam              ? cuda::Update::kAdam
          : o.momentum != 0 ? cuda::Update::kMomentum
                            : cuda::Update::kPlain,
          static_cast<float>(o.gradient_scale),
          static_cast<float>(o.l2),
          static_cast<float>(1 - o.learning_rate * o.decay),
          adam && !torch,
          static_cast<float>(o.rho),
          static_cast<float>(store.admm.dual),
          static_cast<float>(rate),
          static_cast<float>(o.momentum),
          static_cast<float>(o.step == 1 ? 1.0 : 1.0 - o.dampening),
          o.nesterov,
          static_cast<float>(o.beta1),
          static_cast<float>(1 - o.beta1),
          static_cast<float>(o.beta2),
          static_cast<float>(1 - o.beta2),
          static_cast<float>(torch ? 1 / second : 1),
          static_cast<float>(o.epsilon)};
}

void ExpectStepAsOnCpu(ParameterStore& store, const StepOptions& options) {
  const std::shared_ptr<Device> device = OpenDevice();
  const DeviceStore there(*device, store, cuda::kTile);
  OptimizerStep(store, options);
  there.queue->Run(there.queue->api().step, ArgsOf(there, store, options));
  there.ExpectEqual(there.w, store, Slot::kParameters);
  if (options.kind == OptimizerKind::kAdam || options.momentum != 0)
    there.ExpectEqual(there.m, store, Slot::kFirstMoment);
  if (options.kind == OptimizerKind::kAdam) there.ExpectEqual(there.v, store, Slot::kSecondMoment);
}

std::vector<StepOptions> Steps() {
  return {
      {.learning_rate = 0.1},
      {.learning_rate = 0.1, .gradient_scale = 0.25, .l2 = 1e-3},
      {.learning_rate = 0.1, .decay = 1e-2, .momentum = 0.9},
      {.step = 3, .learning_rate = 0.1, .momentum = 0.9, .dampening = 0.1},
      {.step = 2, .learning_rate = 0.1, .l2 = 1e-4, .momentum = 0.9, .nesterov = true},
      {.kind = OptimizerKind::kAdam, .learning_rate = 1e-3},
      {.kind = OptimizerKind::kAdam, .step = 7, .learning_rate = 1e-3, .decay = 0.01},
      {.kind = OptimizerKind::kAdam,
       .step = 7,
       .learning_rate = 1e-3,
       .decay = 0.01,
       .form = AdamForm::kRuntime},
  };
}

TEST(StepsHaveTheBitsOfTheCpu) {
  for (const StepOptions& options : Steps()) ExpectStepAsOnCpu(*MakeStore(1), options);
}

TEST(StepsWithThePullOfAdmm) {
  for (StepOptions options : Steps()) {
    const auto store = MakeStore(2);
    AdmmProject(*store, {.ratio = 0.8});
    options.rho = 0.01;
    ExpectStepAsOnCpu(*store, options);
  }
}

TEST(StepsUnderAMask) {
  for (const StepOptions& options : Steps()) {
    const auto store = MakeStore(3);
    AdmmProject(*store, {.ratio = 0.8});
    MaskBySupport(*store, 0);
    ExpectStepAsOnCpu(*store, options);
  }
}

TEST(NormOfGradients) {
  for (const bool masked : {false, true}) {
    const auto store = MakeStore(4);
    AdmmProject(*store, {.ratio = 0.7});
    if (masked) MaskBySupport(*store, 0);
    const std::shared_ptr<Device> device = OpenDevice();
    const DeviceStore there(*device, *store, cuda::kSumStretch);
    const StepResult want = OptimizerStep(*store, {.gradient_scale = 0.5, .measure_norm = true});
    const DeviceBuffer sums(there.queue, there.tiles * 8);
    there.queue->Run(
        there.queue->api().norm,
        cuda::NormArgs{there.All(), there.g.As<float>(), there.keep.As<uint8_t>(),
                       there.device_switches.As<cuda::StepSwitches>(), sums.As<double>()});
    double total = 0;
    for (double sum : Downloaded(*there.queue, sums.As<double>(), there.tiles)) total += sum;
    EXPECT_EQ(std::sqrt(total) * 0.5, want.gradient_norm);
  }
}

// Stretches of the pruned tensors; others have no part in a projection.
std::vector<cuda::Entry> PrunedEntries(const DeviceStore& there, const ParameterStore& store,
                                       int64_t& stretches) {
  std::vector<cuda::Entry> pruned = there.entries;
  stretches = 0;
  for (size_t t = 0; t < pruned.size(); ++t) {
    if (!store.tensors()[t].prune) pruned[t].count = 0;
    pruned[t].first_tile = stretches;
    stretches += (pruned[t].count + cuda::kSumStretch - 1) / cuda::kSumStretch;
  }
  return pruned;
}

template <class T>
T SumOf(const DeviceStore& there, const T* from, int64_t count) {
  T sum = 0;
  for (T part : Downloaded(*there.queue, from, count)) sum += part;
  return sum;
}

void ExpectProjectionAsOnCpu(ParameterStore& store, double ratio) {
  store.Allocate(Slot::kAdmm);
  const std::shared_ptr<Device> device = OpenDevice();
  const DeviceStore there(*device, store, cuda::kSumStretch);
  const auto dual = static_cast<float>(store.admm.dual);
  const ProjectResult want = AdmmProject(store, {.ratio = ratio});
  std::vector<cuda::Bounds> after;
  for (const TensorThreshold& threshold : store.admm.thresholds)
    after.push_back(BoundsFrom(threshold));
  int64_t stretches = 0;
  const DeviceBuffer entries = Uploaded(there.queue, PrunedEntries(there, store, stretches));
  const DeviceBuffer bounds_after = Uploaded(there.queue, after);
  const DeviceBuffer sums(there.queue, stretches * 24);
  auto* gap = sums.As<double>();
  auto* changed = reinterpret_cast<int64_t*>(gap + 2 * stretches);
  const cuda::Tiles tiles = {nullptr, entries.As<cuda::Entry>(),
                             static_cast<int64_t>(there.entries.size()), 0, stretches};
  there.queue->Run(
      there.queue->api().project,
      cuda::ProjectArgs{tiles, there.admm.As<float>(), there.w.As<float>(),
                        there.device_bounds.As<cuda::Bounds>(), bounds_after.As<cuda::Bounds>(),
                        dual, gap, gap + stretches, changed});
  there.ExpectEqual(there.admm, store, Slot::kAdmm);
  EXPECT_EQ(std::sqrt(SumOf(there, gap, stretches)), want.gap);
  EXPECT_EQ(std::sqrt(SumOf(there, gap + stretches, stretches)), want.moved);
  EXPECT_EQ(SumOf(there, changed, stretches), want.changed);
}

// The first projection, and one that has a dual variable to add.
TEST(Projections) {
  const auto store = MakeStore(5);
  for (const double ratio : {0.6, 0.8}) {
    ExpectProjectionAsOnCpu(*store, ratio);
    // W moves on, so that the next projection has something to do.
    OptimizerStep(*store, {.learning_rate = 0.05, .rho = 0.02});
  }
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
