// The masks of a store: writing them by whichever rule, and zeroing what they remove.
#include <algorithm>
#include <bit>
#include <memory>
#include <numeric>

#include "core/grouped_store.h"
#include "core/parallel.h"
#include "core/stretches.h"
#include "secateur/admm.h"
#include "secateur/error.h"

namespace secateur {
namespace {

// Calls body(stretch) for stretches of the tensors that masks apply to, in parallel, and adds up
// what it returns by tensor.
template <class Body>
std::vector<int64_t> SumOverMasked(const ParameterStore& store, int threads, const Body& body) {
  const std::vector<Stretch> stretches = MakeStretches(store.tensors(), Which::kMasked);
  std::vector<int64_t> partial(stretches.size());
  const int64_t bytes = store.elements() * 2 * static_cast<int64_t>(sizeof(float));
  ParallelFor(ThreadsFor(bytes, threads), static_cast<int64_t>(stretches.size()),
              [&](int64_t i, int) { partial[i] = body(stretches[i]); });
  std::vector<int64_t> sums(store.tensors().size());
  for (size_t i = 0; i < stretches.size(); ++i) sums[stretches[i].tensor] += partial[i];
  return sums;
}

// Writes keep(tensor, index) over the mask; returns how many prunable weights were kept both before
// and now.
template <class KeepOf>
int64_t WriteMask(ParameterStore& store, int threads, const KeepOf& keep) {
  store.AllocateMask();
  ++store.mask_revision;
  const std::vector<int64_t> common =
      SumOverMasked(store, threads, [&](const Stretch& stretch) -> int64_t {
        uint8_t* mask = store.Mask(stretch.tensor);
        int64_t both = 0;
        for (int64_t i = stretch.first; i < stretch.first + stretch.count; ++i) {
          const bool kept = keep(stretch.tensor, i);
          both += kept && mask[i] != 0;
          mask[i] = kept ? 1 : 0;
        }
        return both;
      });
  int64_t sum = 0;
  for (size_t t = 0; t < common.size(); ++t) sum += store.tensors()[t].prune ? common[t] : 0;
  return sum;
}

bool Keeps(const TensorThreshold& threshold, const float* values, int64_t index) {
  const uint64_t key = std::bit_cast<uint32_t>(values[index]) & 0x7fffffff;
  return key >= threshold.tie_end || (key >= threshold.tie_begin && index < threshold.tie_cut);
}

// Zeroes what the mask removes.
MaskResult ZeroRemoved(ParameterStore& store, int threads, int64_t common) {
  const OptimizerKernels& kernels = ActiveBackend().optimizer;
  constexpr Slot kMasked[] = {Slot::kParameters, Slot::kFirstMoment, Slot::kSecondMoment,
                              Slot::kAverage};
  for (const Slot slot : kMasked) store.BringHome(slot);
  MaskResult result;
  result.kept = SumOverMasked(store, threads, [&](const Stretch& stretch) -> int64_t {
    const auto& [t, first, count] = stretch;
    const uint8_t* keep = store.Mask(t) + first;
    for (const Slot slot : kMasked) {
      if (store.Has(slot)) kernels.keep(store.Data(slot, t) + first, keep, count);
    }
    return count - std::count(keep, keep + count, uint8_t{0});
  });
  for (size_t t = 0; t < store.tensors().size(); ++t) {
    if (!store.IsMasked(t)) result.kept[t] = store.tensors()[t].count;
  }
  result.common = common;
  return result;
}

}  // namespace

MaskResult MaskBySupport(ParameterStore& store, int threads) {
  const std::scoped_lock lock(store.mutex);
  if (store.admm.thresholds.empty() || !store.Has(Slot::kAdmm)) {
    throw Error("INVALID_OPTION", "Expected a projection before the mask of its support, got none");
  }
  store.BringHome(Slot::kAdmm);
  const uint8_t* support = store.SupportBytes();
  const int64_t common = WriteMask(store, threads, [&](size_t t, int64_t i) {
    if (store.admm.by_support) return support[store.Offset(t) + i] != 0;
    return !store.tensors()[t].prune ||
           Keeps(store.admm.thresholds[t], store.Data(Slot::kAdmm, t), i);
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
    return !store.tensors()[t].prune || Keeps(all[t], store.Data(Slot::kParameters, t), i);
  });
  return ZeroRemoved(store, threads, common);
}

MaskResult MaskByGroups(ParameterStore& store, const ProjectOptions& options) {
  const std::scoped_lock lock(store.mutex);
  const GroupedStore grouped(store, [&](size_t t) {
    return std::make_unique<MemorySource>(
        reinterpret_cast<std::byte*>(store.Data(Slot::kParameters, t)));
  });
  const GroupSelection selection = grouped.Select(options);
  const KeyBuffer support = grouped.SupportOf(selection, options.threads);
  const auto* keep = reinterpret_cast<const uint8_t*>(support.data());
  const int64_t common = WriteMask(
      store, options.threads, [&](size_t t, int64_t i) { return keep[store.Offset(t) + i] != 0; });
  return ZeroRemoved(store, options.threads, common);
}

MaskResult MaskByZeros(ParameterStore& store, int threads) {
  const std::scoped_lock lock(store.mutex);
  const int64_t common = WriteMask(store, threads, [&](size_t t, int64_t i) {
    return !store.tensors()[t].prune || store.Data(Slot::kParameters, t)[i] != 0;
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
  const std::vector<int64_t> revived = SumOverMasked(store, 0, [&](const Stretch& stretch) {
    const uint8_t* keep = store.Mask(stretch.tensor);
    const float* w = store.Data(Slot::kParameters, stretch.tensor);
    int64_t count = 0;
    for (int64_t i = stretch.first; i < stretch.first + stretch.count; ++i)
      count += keep[i] == 0 && w[i] != 0;
    return count;
  });
  return std::accumulate(revived.begin(), revived.end(), int64_t{0});
}

}  // namespace secateur
