// A projection reads W and V twice and writes V once: selection looks at V = W + U through a source
// that computes it on the way, so that the V before is still there when the residuals are taken, in
// the pass that replaces it.
#include "secateur/admm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <deque>
#include <memory>
#include <optional>

#include "core/grouped_store.h"
#include "core/key_buffer.h"
#include "core/parallel.h"
#include "core/store_mirror.h"
#include "core/stretches.h"
#include "secateur/error.h"

namespace secateur {
namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

const OptimizerKernels& KernelsOf(const Backend* backend) {
  return (backend ? *backend : ActiveBackend()).optimizer;
}

// What is kept, of all tensors of a store: by thresholds, or by a byte of each weight.
struct Kept {
  const std::vector<TensorThreshold>& thresholds;
  const uint8_t* support;  // null: by the thresholds
};

// W + U of one tensor, computed where it is read.
class NextSource final : public Source {
 public:
  NextSource(const OptimizerKernels& kernels, const ParameterStore& store, size_t tensor,
             const Kept& before)
      : kernels_(kernels),
        w_(store.Data(Slot::kParameters, tensor)),
        v_(store.Data(Slot::kAdmm, tensor)),
        threshold_(before.thresholds[tensor]),
        support_(before.support ? before.support + store.Offset(tensor) : nullptr),
        dual_(static_cast<float>(store.admm.dual)) {}

  const std::byte* Read(int64_t offset, int64_t bytes, std::byte* scratch) const override {
    const int64_t first = offset / kFloat;
    auto* next = reinterpret_cast<float*>(scratch);
    if (support_ != nullptr) {
      kernels_.next_kept(next, w_ + first, v_ + first, support_ + first, bytes / kFloat, dual_);
      return scratch;
    }
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
  const uint8_t* support_;
  float dual_;
};

// One selection over W + U of the prunable tensors, which lie where `run_of(tensor)` says; a
// threshold for every tensor of the store.
template <class RunOf>
Selection SelectFrom(const ParameterStore& store, const RunOf& run_of,
                     const ProjectOptions& options, const Device* device) {
  std::vector<Tensor> tensors;
  for (size_t t = 0; t < store.tensors().size(); ++t) {
    const StoreTensor& tensor = store.tensors()[t];
    if (tensor.prune)
      tensors.push_back({tensor.name, DType::kFloat32, 1, tensor.count, {run_of(t)}});
  }
  SelectOptions select;
  select.device = device;
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

Selection SelectNext(const ParameterStore& store, const Kept& before,
                     const ProjectOptions& options) {
  std::deque<NextSource> sources;
  const auto run_of = [&](size_t t) -> Run {
    const NextSource& source = sources.emplace_back(KernelsOf(options.backend), store, t, before);
    return {&source, 0, store.tensors()[t].count * kFloat};
  };
  return SelectFrom(store, run_of, options, nullptr);
}

// The same where the store's mirror is.
Selection SelectThere(const ParameterStore& store, const std::vector<TensorThreshold>& before,
                      const ProjectOptions& options) {
  const Source& next = store.mirror->Next(before);
  const auto run_of = [&](size_t t) -> Run {
    return {&next, store.Offset(t) * kFloat, store.tensors()[t].count * kFloat};
  };
  return SelectFrom(store, run_of, options, &store.mirror->device());
}

// What a projection decides: thresholds of all tensors, or a support.
struct Choice {
  Selection selection;
  std::optional<KeyBuffer> support;
};

Choice ChooseNext(const ParameterStore& store, const Kept& before, const ProjectOptions& options) {
  if (!store.grouping) return {SelectNext(store, before, options), std::nullopt};
  const GroupedStore grouped(store, [&](size_t t) {
    return std::make_unique<NextSource>(KernelsOf(options.backend), store, t, before);
  });
  const GroupSelection groups = grouped.Select(options);
  Choice choice{{groups.ratio, groups.threshold, groups.removed, {}},
                grouped.SupportOf(groups, options.threads)};
  choice.selection.tensors.resize(store.tensors().size());
  for (size_t n = 0; n < groups.tensors.size(); ++n)
    choice.selection.tensors[grouped.members()[n]].removed = groups.tensors[n].removed;
  return choice;
}

// The bytes of a block that say what is kept: those of the support, or made from the values.
const uint8_t* KeptBytes(const Kept& kept, const ParameterStore& store, size_t tensor,
                         int64_t first, int64_t count, const float* values, uint8_t* scratch) {
  if (kept.support != nullptr) return kept.support + store.Offset(tensor) + first;
  ForBounds(kept.thresholds[tensor], first, count, [&](int64_t at, int64_t part, uint32_t bound) {
    for (int64_t i = at; i < at + part; ++i)
      scratch[i] = (std::bit_cast<uint32_t>(values[i]) & 0x7fffffff) >= bound ? 1 : 0;
  });
  return scratch;
}

// One projection's second pass.
class Replacement {
 public:
  Replacement(const ParameterStore& store, const OptimizerKernels& kernels, const Kept& before,
              const Kept& after)
      : store_(store),
        kernels_(kernels),
        before_(before),
        after_(after),
        dual_(static_cast<float>(store.admm.dual)) {}

  // Replaces V by W + U in one block, and sums what that moves.
  void Block(size_t tensor, int64_t first, int64_t count, ProjectSums& sums) const {
    alignas(64) float gap[kBlock];
    alignas(64) float moved[kBlock];
    const float* w = store_.Data(Slot::kParameters, tensor) + first;
    float* v = store_.Data(Slot::kAdmm, tensor) + first;
    if (before_.support == nullptr && after_.support == nullptr) {
      ForBounds(before_.thresholds[tensor], first, count,
                [&](int64_t at, int64_t part, uint32_t old) {
                  ForBounds(after_.thresholds[tensor], first + at, part,
                            [&](int64_t inner, int64_t rest, uint32_t bound) {
                              const int64_t i = at + inner;
                              sums.changed += kernels_.project(v + i, gap + i, moved + i, w + i,
                                                               rest, {old, dual_}, bound);
                            });
                });
    } else {
      sums.changed += ByBytes(tensor, first, count, gap, moved);
    }
    sums.gap += kernels_.sum_squares(gap, count);
    sums.moved += kernels_.sum_squares(moved, count);
  }

 private:
  int64_t ByBytes(size_t tensor, int64_t first, int64_t count, float* gap, float* moved) const {
    uint8_t was[kBlock];
    uint8_t is[kBlock];
    alignas(64) float next[kBlock];
    const float* w = store_.Data(Slot::kParameters, tensor) + first;
    float* v = store_.Data(Slot::kAdmm, tensor) + first;
    const uint8_t* before = KeptBytes(before_, store_, tensor, first, count, v, was);
    if (after_.support == nullptr) kernels_.next_kept(next, w, v, before, count, dual_);
    const uint8_t* after = KeptBytes(after_, store_, tensor, first, count, next, is);
    return kernels_.project_kept(v, gap, moved, w, before, after, count, dual_);
  }

  const ParameterStore& store_;
  const OptimizerKernels& kernels_;
  const Kept& before_;
  const Kept& after_;
  float dual_;
};

ProjectSums ReplaceV(const ParameterStore& store, const Kept& before, const Kept& after,
                     const ProjectOptions& options) {
  const Replacement replacement(store, KernelsOf(options.backend), before, after);
  const std::vector<Stretch> stretches = MakeStretches(store.tensors(), Which::kPruned);
  std::vector<ProjectSums> partial(stretches.size());
  const int64_t bytes = store.elements() * 3 * static_cast<int64_t>(sizeof(float));
  ParallelFor(ThreadsFor(bytes, options.threads), static_cast<int64_t>(stretches.size()),
              [&](int64_t i, int) {
                ProjectSums sums;
                ForBlocks(stretches[i], [&](int64_t first, int64_t count) {
                  replacement.Block(stretches[i].tensor, first, count, sums);
                });
                partial[i] = sums;
              });
  ProjectSums total;
  for (const ProjectSums& sums : partial) {
    total.gap += sums.gap;
    total.moved += sums.moved;
    total.changed += sums.changed;
  }
  return total;
}

}  // namespace

ProjectResult AdmmProject(ParameterStore& store, const ProjectOptions& options) {
  const std::scoped_lock lock(store.mutex);
  store.Allocate(Slot::kAdmm);
  // By bytes of a support it is done here, wherever steps are taken.
  const bool there = store.mirror && !store.grouping && !store.admm.by_support;
  if (!there) store.BringHome(Slot::kAdmm);
  const bool begun = !store.admm.thresholds.empty();
  const std::vector<TensorThreshold> keep_all(store.tensors().size());
  const Kept before{begun ? store.admm.thresholds : keep_all,
                    store.admm.by_support ? store.SupportBytes() : nullptr};
  Choice choice = there ? Choice{SelectThere(store, before.thresholds, options), std::nullopt}
                        : ChooseNext(store, before, options);
  const uint8_t* support =
      choice.support ? reinterpret_cast<const uint8_t*>(choice.support->data()) : nullptr;
  const ProjectSums sums =
      there ? store.mirror->Project(before.thresholds, choice.selection.tensors)
            : ReplaceV(store, before, {choice.selection.tensors, support}, options);
  ProjectResult result{
      std::sqrt(sums.gap), std::sqrt(sums.moved), sums.changed, 0, choice.selection.removed, {}};
  for (size_t t = 0; t < store.tensors().size(); ++t) {
    if (store.tensors()[t].prune) result.weights += store.tensors()[t].count;
    result.removed_by_tensor.push_back(choice.selection.tensors[t].removed);
  }
  if (support != nullptr) {
    store.AllocateSupport();
    std::copy_n(support, store.PaddedElements(), store.SupportBytes());
  }
  store.admm = {store.admm.rho, 1, std::move(choice.selection.tensors), support != nullptr};
  return result;
}

void SetGrouping(ParameterStore& store, std::optional<Grouping> grouping) {
  const std::scoped_lock lock(store.mutex);
  std::swap(store.grouping, grouping);
  if (!store.grouping) return;
  try {
    const GroupedStore checked(store,
                               [](size_t) { return std::make_unique<MemorySource>(nullptr); });
  } catch (const Error&) {
    std::swap(store.grouping, grouping);
    throw;
  }
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
  store.BringHome(Slot::kAdmm);
  if (state.by_support) store.AllocateSupport();
  store.admm = std::move(state);
}

void ResetAdmm(ParameterStore& store) {
  const std::scoped_lock lock(store.mutex);
  store.admm = {};
  store.BringHome(Slot::kAdmm);
  if (store.Has(Slot::kAdmm)) {
    std::fill_n(store.Data(Slot::kAdmm), store.PaddedElements(), 0.0f);
  }
}

}  // namespace secateur
