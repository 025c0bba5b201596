#include "core/grouped_store.h"

#include <cstring>
#include <string>

#include "core/parallel.h"
#include "core/stretches.h"
#include "secateur/error.h"

namespace secateur {

GroupedStore::GroupedStore(const ParameterStore& store, const SourceOf& source_of) : store_(store) {
  for (size_t t = 0; t < store.tensors().size(); ++t) {
    const StoreTensor& tensor = store.tensors()[t];
    if (!Includes(Which::kMasked, tensor)) continue;
    // Those that follow are not read.
    sources_.push_back(tensor.prune ? source_of(t) : std::make_unique<MemorySource>(nullptr));
    const Run run{sources_.back().get(), 0, tensor.count * static_cast<int64_t>(sizeof(float))};
    tensors_.push_back({tensor.name, DType::kFloat32, 1, tensor.count, {run}});
    members_.push_back(t);
  }
  const size_t given = store.grouping ? store.grouping->tensors.size() : 0;
  bool fits = given == members_.size();
  for (size_t n = 0; fits && n < given; ++n) {
    fits = store.grouping->tensors[n].follows == !store.tensors()[members_[n]].prune;
  }
  if (!fits) {
    throw Error("INVALID_OPTION", "Expected a grouping of the " + std::to_string(members_.size()) +
                                      " tensors that are pruned or follow, got one of " +
                                      std::to_string(given));
  }
}

GroupSelection GroupedStore::Select(const ProjectOptions& options) const {
  SelectOptions select;
  select.ratios = {options.ratio};
  select.scope = options.scope;
  select.min_keep = options.min_keep;
  select.threads = options.threads;
  select.backend = options.backend;
  return SelectGroups(tensors_, *store_.grouping, select);
}

KeyBuffer GroupedStore::SupportOf(const GroupSelection& selection, int threads) const {
  KeyBuffer support(store_.PaddedElements());
  auto* keep = reinterpret_cast<uint8_t*>(support.data());
  std::memset(keep, 1, static_cast<size_t>(store_.PaddedElements()));
  std::vector<size_t> places(store_.tensors().size());
  for (size_t n = 0; n < members_.size(); ++n) places[members_[n]] = n;
  const std::vector<Stretch> stretches = MakeStretches(store_.tensors(), Which::kMasked);
  const int64_t bytes = store_.elements() * static_cast<int64_t>(sizeof(float));
  ParallelFor(ThreadsFor(bytes, threads), static_cast<int64_t>(stretches.size()),
              [&](int64_t i, int) {
                const auto& [t, first, count] = stretches[i];
                selection.support->Keep(places[t], first, count, keep + store_.Offset(t) + first);
              });
  return support;
}

}  // namespace secateur
