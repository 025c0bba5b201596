// A projection reads W and V twice and writes V once: selection looks at V = W + U through a source
// that computes it on the way, so that the V before is still there when the residuals are taken, in
// the pass that replaces it.
#include "secateur/admm.h"

#include <cmath>
#include <deque>
#include <numeric>

#include "core/parallel.h"
#include "core/stretches.h"
#include "secateur/error.h"

namespace secateur {
namespace {

const OptimizerKernels& KernelsOf(const Backend* backend) {
  return (backend ? *backend : ActiveBackend()).optimizer;
}

// W + U of one tensor, computed where it is read.
class NextSource final : public Source {
 public:
  NextSource(const OptimizerKernels& kernels, const float* w, const float* v,
             const TensorThreshold& threshold, double dual)
      : kernels_(kernels), w_(w), v_(v), threshold_(threshold), dual_(static_cast<float>(dual)) {}

  const std::byte* Read(int64_t offset, int64_t bytes, std::byte* scratch) const override {
    constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
    const int64_t first = offset / kFloat;
    auto* next = reinterpret_cast<float*>(scratch);
    ForBounds(threshold_, first, bytes / kFloat, [&](int64_t at, int64_t count, uint32_t bound) {
      kernels_.next(next + at, w_ + first + at, v_ + first + at, count, {bound, dual_});
    });
    return scratch;
  }

 private:
  const OptimizerKernels& kernels_;
  const float* w_;
  const float* v_;
  const TensorThreshold& threshold_;
  float dual_;
};

// One selection over W + U of the prunable tensors; a threshold for every tensor of the store.
Selection SelectNext(const ParameterStore& store, const AdmmState& before,
                     const ProjectOptions& options) {
  std::deque<NextSource> sources;
  std::vector<Tensor> tensors;
  for (size_t t = 0; t < store.tensors().size(); ++t) {
    const auto& [name, count, prune, decay] = store.tensors()[t];
    if (!prune) continue;
    const NextSource& source =
        sources.emplace_back(KernelsOf(options.backend), store.Data(Slot::kParameters, t),
                             store.Data(Slot::kAdmm, t), before.thresholds[t], before.dual);
    const Run run{&source, 0, count * static_cast<int64_t>(sizeof(float))};
    tensors.push_back({name, DType::kFloat32, 1, count, {run}});
  }
  SelectOptions select;
  select.ratios = {options.ratio};
  select.scope = options.scope;
  select.min_keep = options.min_keep;
  select.threads = options.threads;
  select.backend = options.backend;
  Selection selection = std::move(Select(tensors, select).front());
  std::vector<TensorThreshold> all;
  auto selected = selection.tensors.begin();
  for (const StoreTensor& tensor : store.tensors())
    all.push_back(tensor.prune ? *selected++ : TensorThreshold{});
  selection.tensors = std::move(all);
  return selection;
}

struct Sums {
  double gap = 0;
  double moved = 0;
  int64_t changed = 0;
};

// Replaces V by W + U in one block, and sums what that moves.
void ProjectBlock(const OptimizerKernels& kernels, const ParameterStore& store, size_t tensor,
                  const AdmmState& before, const TensorThreshold& after, int64_t first,
                  int64_t count, Sums& sums) {
  alignas(64) float gap[kBlock];
  alignas(64) float moved[kBlock];
  const float* w = store.Data(Slot::kParameters, tensor) + first;
  float* v = store.Data(Slot::kAdmm, tensor) + first;
  ForBounds(before.thresholds[tensor], first, count, [&](int64_t at, int64_t part, uint32_t old) {
    ForBounds(after, first + at, part, [&](int64_t inner, int64_t rest, uint32_t bound) {
      const int64_t i = at + inner;
      sums.changed += kernels.project(v + i, gap + i, moved + i, w + i, rest,
                                      {old, static_cast<float>(before.dual)}, bound);
    });
  });
  sums.gap += kernels.sum_squares(gap, count);
  sums.moved += kernels.sum_squares(moved, count);
}

Sums ReplaceV(const ParameterStore& store, const AdmmState& before,
              const std::vector<TensorThreshold>& after, const ProjectOptions& options) {
  const std::vector<Stretch> stretches = MakeStretches(store.tensors(), true);
  std::vector<Sums> partial(stretches.size());
  const int64_t bytes = store.elements() * 3 * static_cast<int64_t>(sizeof(float));
  ParallelFor(ThreadsFor(bytes, options.threads), static_cast<int64_t>(stretches.size()),
              [&](int64_t i, int) {
                const size_t t = stretches[i].tensor;
                Sums sums;
                ForBlocks(stretches[i], [&](int64_t first, int64_t count) {
                  ProjectBlock(KernelsOf(options.backend), store, t, before, after[t], first, count,
                               sums);
                });
                partial[i] = sums;
              });
  Sums total;
  for (const Sums& sums : partial) {
    total.gap += sums.gap;
    total.moved += sums.moved;
    total.changed += sums.changed;
  }
  return total;
}

// Calls body(tensor, stretch) for stretches of the prunable tensors, in parallel, and adds up what
// it returns by tensor.
template <class Body>
std::vector<int64_t> SumOverPrunable(const ParameterStore& store, int threads, const Body& body) {
  const std::vector<Stretch> stretches = MakeStretches(store.tensors(), true);
  std::vector<int64_t> partial(stretches.size());
  const int64_t bytes = store.elements() * 2 * static_cast<int64_t>(sizeof(float));
  ParallelFor(ThreadsFor(bytes, threads), static_cast<int64_t>(stretches.size()),
              [&](int64_t i, int) { partial[i] = body(stretches[i]); });
  std::vector<int64_t> sums(store.tensors().size());
  for (size_t i = 0; i < stretches.size(); ++i) sums[stretches[i].tensor] += partial[i];
  return sums;
}

// Writes keep(tensor, index) over the mask; returns how many were kept both before and now.
template <class KeepOf>
int64_t WriteMask(ParameterStore& store, int threads, const KeepOf& keep) {
  store.AllocateMask();
  const std::vector<int64_t> common =
      SumOverPrunable(store, threads, [&](const Stretch& stretch) -> int64_t {
        uint8_t* mask = store.Mask(stretch.tensor);
        int64_t both = 0;
        for (int64_t i = stretch.first; i < stretch.first + stretch.count; ++i) {
          const bool kept = keep(stretch.tensor, i);
          both += kept && mask[i] != 0;
          mask[i] = kept ? 1 : 0;
        }
        return both;
      });
  return std::accumulate(common.begin(), common.end(), int64_t{0});
}

bool Keeps(const TensorThreshold& threshold, const float* values, int64_t index) {
  const uint64_t key = std::bit_cast<uint32_t>(values[index]) & 0x7fffffff;
  return key >= threshold.tie_end || (key >= threshold.tie_begin && index < threshold.tie_cut);
}

// Zeroes what the mask removes.
MaskResult ZeroRemoved(ParameterStore& store, int threads, int64_t common) {
  const OptimizerKernels& kernels = KernelsOf(nullptr);
  MaskResult result;
  result.kept = SumOverPrunable(store, threads, [&](const Stretch& stretch) -> int64_t {
    const auto& [t, first, count] = stretch;
    const uint8_t* keep = store.Mask(t) + first;
    for (Slot slot : {Slot::kParameters, Slot::kFirstMoment, Slot::kSecondMoment, Slot::kAverage}) {
      if (store.Has(slot)) kernels.keep(store.Data(slot, t) + first, keep, count);
    }
    return count - std::count(keep, keep + count, uint8_t{0});
  });
  for (size_t t = 0; t < store.tensors().size(); ++t) {
    if (!store.tensors()[t].prune) result.kept[t] = store.tensors()[t].count;
  }
  result.common = common;
  return result;
}

}  // namespace

ProjectResult AdmmProject(ParameterStore& store, const ProjectOptions& options) {
  const std::scoped_lock lock(store.mutex);
  store.Allocate(Slot::kAdmm);
  AdmmState before = store.admm;
  if (before.thresholds.empty()) before.thresholds.resize(store.tensors().size());  // keep all
  Selection selection = SelectNext(store, before, options);
  const Sums sums = ReplaceV(store, before, selection.tensors, options);
  ProjectResult result{
      std::sqrt(sums.gap), std::sqrt(sums.moved), sums.changed, 0, selection.removed, {}};
  for (size_t t = 0; t < store.tensors().size(); ++t) {
    if (store.tensors()[t].prune) result.weights += store.tensors()[t].count;
    result.removed_by_tensor.push_back(selection.tensors[t].removed);
  }
  store.admm = {before.rho, 1, std::move(selection.tensors)};
  return result;
}

MaskResult MaskBySupport(ParameterStore& store, int threads) {
  const std::scoped_lock lock(store.mutex);
  if (store.admm.thresholds.empty() || !store.Has(Slot::kAdmm)) {
    throw Error("INVALID_OPTION", "Expected a projection before the mask of its support, got none");
  }
  const int64_t common = WriteMask(store, threads, [&](size_t t, int64_t i) {
    return Keeps(store.admm.thresholds[t], store.Data(Slot::kAdmm, t), i);
  });
  return ZeroRemoved(store, threads, common);
}

MaskResult MaskBySelection(ParameterStore& store, const std::vector<TensorThreshold>& thresholds,
                           int threads) {
  const std::scoped_lock lock(store.mutex);
  std::vector<TensorThreshold> all;
  size_t used = 0;
  for (const StoreTensor& tensor : store.tensors()) {
    all.emplace_back();
    if (!tensor.prune) continue;
    if (used < thresholds.size()) all.back() = thresholds[used];
    ++used;
  }
  if (used != thresholds.size()) {
    throw Error("INVALID_OPTION", "Expected a selection over the " + std::to_string(used) +
                                      " prunable tensors, got one over " +
                                      std::to_string(thresholds.size()));
  }
  const int64_t common = WriteMask(store, threads, [&](size_t t, int64_t i) {
    return Keeps(all[t], store.Data(Slot::kParameters, t), i);
  });
  return ZeroRemoved(store, threads, common);
}

MaskResult MaskByZeros(ParameterStore& store, int threads) {
  const std::scoped_lock lock(store.mutex);
  const int64_t common = WriteMask(store, threads, [&](size_t t, int64_t i) {
    return store.Data(Slot::kParameters, t)[i] != 0;
  });
  return ZeroRemoved(store, threads, common);
}

MaskResult ApplyStoreMask(ParameterStore& store, int threads) {
  const std::scoped_lock lock(store.mutex);
  store.AllocateMask();
  const int64_t common =
      WriteMask(store, threads, [&](size_t t, int64_t i) { return store.Mask(t)[i] != 0; });
  return ZeroRemoved(store, threads, common);
}

void ClearMask(ParameterStore& store) {
  const std::scoped_lock lock(store.mutex);
  store.DropMask();
}

int64_t RevivedWeights(ParameterStore& store) {
  const std::scoped_lock lock(store.mutex);
  if (!store.HasMask()) return 0;
  const std::vector<int64_t> revived = SumOverPrunable(store, 0, [&](const Stretch& stretch) {
    const uint8_t* keep = store.Mask(stretch.tensor);
    const float* w = store.Data(Slot::kParameters, stretch.tensor);
    int64_t count = 0;
    for (int64_t i = stretch.first; i < stretch.first + stretch.count; ++i)
      count += keep[i] == 0 && w[i] != 0;
    return count;
  });
  return std::accumulate(revived.begin(), revived.end(), int64_t{0});
}

void RestoreAdmm(ParameterStore& store, AdmmState state) {
  const std::scoped_lock lock(store.mutex);
  const bool finite = std::isfinite(state.rho) && std::isfinite(state.dual);
  if (state.thresholds.size() != store.tensors().size() || !finite) {
    throw Error("INVALID_OPTION", "Expected the ADMM state of a store of " +
                                      std::to_string(store.tensors().size()) + " tensors, got " +
                                      std::to_string(state.thresholds.size()) + " thresholds");
  }
  store.Allocate(Slot::kAdmm);
  store.admm = std::move(state);
}

void ResetAdmm(ParameterStore& store) {
  const std::scoped_lock lock(store.mutex);
  store.admm = {};
  if (store.Has(Slot::kAdmm)) {
    std::fill_n(store.Data(Slot::kAdmm), store.PaddedElements(), 0.0f);
  }
}

}  // namespace secateur
