// Selection of groups as its contract says it, element by element and by sorting.
#ifndef SECATEUR_TEST_GROUPS_REFERENCE_H_
#define SECATEUR_TEST_GROUPS_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "core/score.h"
#include "reference.h"
#include "secateur/groups.h"

namespace secateur::test {

// The block of an element, by the definition of the view.
inline std::pair<int64_t, int64_t> PlaceOf(const MatrixView& view, int64_t index) {
  const int64_t inner = index % view.inner;
  const int64_t row = index / view.inner % view.rows;
  const int64_t outer = index / view.inner / view.rows % view.outer;
  const int64_t batch = index / view.inner / view.rows / view.outer;
  return {batch * view.rows + row, outer * view.inner + inner};
}

inline int64_t BlockOf(const GroupedTensor& tensor, int64_t index) {
  const MatrixView& view = tensor.view;
  const auto [row, column] = PlaceOf(view, index);
  const int64_t rows = std::min(tensor.block_rows, view.rows);
  const int64_t columns = std::min(tensor.block_columns, view.columns());
  const int64_t down = (view.rows + rows - 1) / rows;
  const int64_t across = (view.columns() + columns - 1) / columns;
  return (row / view.rows * down + row % view.rows / rows) * across + column / columns;
}

// In order of first appearance: {mean square, weights, tensor counts}.
struct ReferenceSet {
  double squares = 0;
  int64_t weights = 0;
  std::map<size_t, int64_t> by_tensor;
};

// What a set is called: explicit ones by their number, others by tensor and block.
using SetName = std::pair<int64_t, int64_t>;

inline SetName NameOf(const Grouping& grouping, size_t t, int64_t index) {
  const int64_t block = BlockOf(grouping.tensors[t], index);
  const auto& sets = grouping.tensors[t].sets;
  return sets.empty() ? SetName{static_cast<int64_t>(t), block} : SetName{-1, sets[block]};
}

// All sets of the tensors that are ranked, in order of their first block.
inline std::vector<std::pair<SetName, ReferenceSet>> SetsOf(const std::vector<Weights>& tensors,
                                                            const Grouping& grouping) {
  std::vector<SetName> order;
  std::set<SetName> seen;
  std::map<SetName, ReferenceSet> sets;
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (grouping.tensors[t].follows) continue;
    std::map<int64_t, SetName> blocks;  // in order of block, not of element
    for (int64_t i = 0; i < tensors[t].count(); ++i) {
      const SetName name = NameOf(grouping, t, i);
      blocks.emplace(BlockOf(grouping.tensors[t], i), name);
      const double value = KeyValue(tensors[t].dtype, tensors[t].Key(i)) * tensors[t].factor;
      sets[name].squares += value * value;
      ++sets[name].weights;
      ++sets[name].by_tensor[t];
    }
    for (const auto& [block, name] : blocks) {
      if (seen.insert(name).second) order.push_back(name);
    }
  }
  std::vector<std::pair<SetName, ReferenceSet>> ordered;
  for (const SetName& name : order) ordered.emplace_back(name, sets[name]);
  return ordered;
}

// What the floors leave to remove of each tensor.
inline std::vector<int64_t> MostOf(const std::vector<Weights>& tensors, double min_keep,
                                   bool at_least_one) {
  std::vector<int64_t> most;
  for (const Weights& tensor : tensors) {
    const auto floor = std::ceil(min_keep * static_cast<double>(tensor.count()));
    most.push_back(tensor.count() -
                   std::max<int64_t>(static_cast<int64_t>(floor), at_least_one ? 1 : 0));
  }
  return most;
}

// The names of the sets that go: from the smallest mean square on; of equal ones the last first.
inline std::map<SetName, bool> GoneSets(const std::vector<std::pair<SetName, ReferenceSet>>& sets,
                                        int64_t budget, std::vector<int64_t> left) {
  std::vector<std::tuple<double, int64_t>> ranked;
  for (size_t i = 0; i < sets.size(); ++i) {
    const auto& [name, set] = sets[i];
    if (name.first == -1 && name.second < 0) continue;
    ranked.emplace_back(set.squares / static_cast<double>(set.weights), -static_cast<int64_t>(i));
  }
  std::sort(ranked.begin(), ranked.end());
  std::map<SetName, bool> gone;
  for (const auto& [score, place] : ranked) {
    const auto& [name, set] = sets[static_cast<size_t>(-place)];
    if (set.weights > budget) break;
    const bool fits =
        std::all_of(set.by_tensor.begin(), set.by_tensor.end(),
                    [&](const auto& part) { return part.second <= left[part.first]; });
    if (!fits) continue;
    for (const auto& [t, count] : set.by_tensor) left[t] -= count;
    budget -= set.weights;
    gone[name] = true;
  }
  return gone;
}

inline Kept WholeKept(const std::vector<Weights>& tensors, const Grouping& grouping, double ratio,
                      double min_keep, bool at_least_one) {
  int64_t total = 0;
  for (size_t t = 0; t < tensors.size(); ++t)
    total += grouping.tensors[t].follows ? 0 : tensors[t].count();
  const std::map<SetName, bool> gone =
      GoneSets(SetsOf(tensors, grouping), std::llround(ratio * static_cast<double>(total)),
               MostOf(tensors, min_keep, at_least_one));
  Kept kept;
  for (size_t t = 0; t < tensors.size(); ++t) {
    kept.emplace_back();
    for (int64_t i = 0; i < tensors[t].count(); ++i)
      kept.back().push_back(gone.find(NameOf(grouping, t, i)) == gone.end());
  }
  return kept;
}

// Of each block the `keep` largest, of equal ones the first.
inline Kept WithinKept(const std::vector<Weights>& tensors, const Grouping& grouping) {
  Kept kept;
  for (size_t t = 0; t < tensors.size(); ++t) {
    std::map<int64_t, std::vector<std::tuple<uint64_t, int64_t, int64_t>>> blocks;
    for (int64_t i = 0; i < tensors[t].count(); ++i) {
      const auto [row, column] = PlaceOf(grouping.tensors[t].view, i);
      blocks[BlockOf(grouping.tensors[t], i)].emplace_back(~tensors[t].Key(i), column, i);
    }
    kept.emplace_back(tensors[t].count(), false);
    for (auto& [block, members] : blocks) {
      std::sort(members.begin(), members.end());
      for (int64_t n = 0; n < std::min<int64_t>(grouping.keep, members.size()); ++n)
        kept[t][std::get<2>(members[n])] = true;
    }
  }
  return kept;
}

}  // namespace secateur::test

#endif  // SECATEUR_TEST_GROUPS_REFERENCE_H_
