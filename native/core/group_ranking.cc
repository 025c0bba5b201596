#include "core/group_ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/select_rules.h"
#include "secateur/error.h"

namespace secateur {
namespace {

[[noreturn]] void ThrowTooMuch(int64_t removed, int64_t budget) {
  throw Error("INVALID_OPTION", "Expected a ratio that the groups allow, got one that removes " +
                                    std::to_string(budget) + " weights, of which only " +
                                    std::to_string(removed) +
                                    " are in groups that may go; lower the ratio");
}

}  // namespace

GroupRanking::GroupRanking(const std::vector<Tensor>& tensors,
                           const std::vector<GroupedTensor>& grouped,
                           const std::vector<std::vector<double>>& sums)
    : tensors_(tensors), grouped_(grouped) {
  int64_t most = kNeverRemoved;
  for (const GroupedTensor& tensor : grouped) {
    grids_.emplace_back(tensor);
    for (const int32_t set : tensor.sets) most = std::max<int64_t>(most, set);
  }
  numbers_.assign(static_cast<size_t>(most + 1), -1);
  for (size_t t = 0; t < grouped.size(); ++t) {
    first_set_.push_back(static_cast<int64_t>(sets_.size()));
    if (grouped[t].follows) continue;
    if (grouped[t].sets.empty()) {
      sets_.reserve(sets_.size() + static_cast<size_t>(grids_[t].count()));
    }
    const double factor = tensors[t].factor * tensors[t].factor;
    grids_[t].ForBlocks([&](int64_t block, int64_t weights) {
      AddBlock(t, block, sums[t][block] * factor, weights);
    });
    weights_ += tensors[t].count;
  }
}

void GroupRanking::AddBlock(size_t tensor, int64_t block, double squares, int64_t weights) {
  if (!grouped_[tensor].sets.empty()) {
    const int32_t called = grouped_[tensor].sets[block];
    if (called < 0) return;
    if (numbers_[called] < 0) numbers_[called] = sets();
  }
  const int64_t number = SetOf(tensor, block);
  if (number == sets()) sets_.emplace_back();
  sets_[number].squares += squares;
  sets_[number].weights += weights;
}

int64_t GroupRanking::SetOf(size_t tensor, int64_t block) const {
  const GroupedTensor& grouped = grouped_[tensor];
  if (grouped.sets.empty()) return grouped.follows ? -1 : first_set_[tensor] + block;
  const int32_t called = grouped.sets[block];
  return called < 0 ? -1 : numbers_[called];
}

double GroupRanking::Remove(const SelectOptions& options) {
  SetFloors(options);
  if (options.scope == Scope::kGlobal) {
    return RemoveAmong(0, sets(), RemovedCount(options.ratios[0], weights_), options);
  }
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (!grouped_[t].sets.empty()) {
      throw Error("INVALID_OPTION",
                  "Expected scope global for groups that span tensors, got layer");
    }
    RemoveAmong(first_set_[t], first_set_[t] + grids_[t].count(),
                RemovedCount(options.ratios[0], tensors_[t].count), options);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double GroupRanking::RemoveAmong(int64_t first_set, int64_t end_set, int64_t budget,
                                 const SelectOptions& options) {
  std::vector<Candidate> candidates;
  candidates.reserve(static_cast<size_t>(end_set - first_set));
  for (int64_t set = first_set; set < end_set; ++set) {
    const Set& each = sets_[set];
    if (each.weights == 0 || !std::isfinite(each.squares)) continue;
    const double score = each.squares / static_cast<double>(each.weights);
    candidates.push_back({score, set, each.weights});
  }
  if (options.monitor) options.monitor->ThrowIfCancelled();
  int64_t removed = 0;
  const size_t prefix = PrefixWithin(candidates, budget, &removed);
  const auto rest = candidates.begin() + static_cast<int64_t>(prefix);
  for (auto each = candidates.begin(); each != rest; ++each) sets_[each->set].removed = true;
  if (BelowFloors()) {
    for (auto each = candidates.begin(); each != rest; ++each) sets_[each->set].removed = false;
    return RemoveInOrder(candidates, budget);
  }
  if (rest == candidates.end() && removed < budget) ThrowTooMuch(removed, budget);
  return rest == candidates.end() ? 0 : std::sqrt(std::min_element(rest, candidates.end())->score);
}

// How many of the lowest candidates fit into the budget, which are put first: by halves, so that
// not all have to be sorted.
size_t GroupRanking::PrefixWithin(std::vector<Candidate>& candidates, int64_t budget,
                                  int64_t* removed) const {
  size_t low = 0;
  size_t high = candidates.size();
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const auto at = [&](size_t index) { return candidates.begin() + static_cast<int64_t>(index); };
    std::nth_element(at(low), at(middle), at(high));
    int64_t weights = 0;
    for (size_t i = low; i <= middle; ++i) weights += candidates[i].weights;
    if (*removed + weights <= budget) {
      *removed += weights;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The same where a floor is in the way: one by one, passing over sets that would break one.
double GroupRanking::RemoveInOrder(std::vector<Candidate>& candidates, int64_t budget) {
  std::sort(candidates.begin(), candidates.end());
  const std::vector<std::vector<Member>> members = Members();
  std::vector<int64_t> left = most_;
  int64_t removed = 0;
  for (const auto& [score, set, weights] : candidates) {
    if (removed + weights > budget) return std::sqrt(score);
    for (const Member& member : members[set]) left[member.tensor] -= member.weights;
    const bool fits = std::all_of(members[set].begin(), members[set].end(),
                                  [&](const Member& member) { return left[member.tensor] >= 0; });
    if (fits) {
      sets_[set].removed = true;
      removed += weights;
    } else {
      for (const Member& member : members[set]) left[member.tensor] += member.weights;
    }
  }
  if (removed < budget) ThrowTooMuch(removed, budget);
  return candidates.empty() ? 0 : std::sqrt(candidates.back().score);
}

void GroupRanking::SetFloors(const SelectOptions& options) {
  for (size_t t = 0; t < tensors_.size(); ++t) {
    most_.push_back(MostRemoved(tensors_[t].count, options.min_keep));
    const bool coupled = !grouped_[t].sets.empty() && tensors_[t].count > 0;
    if (coupled) most_[t] = std::min(most_[t], tensors_[t].count - 1);
  }
}

bool GroupRanking::BelowFloors() const {
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (grouped_[t].follows || most_[t] >= tensors_[t].count) continue;
    int64_t removed = 0;
    grids_[t].ForBlocks([&](int64_t block, int64_t weights) {
      if (Removed(t, block)) removed += weights;
    });
    if (removed > most_[t]) return true;
  }
  return false;
}

std::vector<std::vector<GroupRanking::Member>> GroupRanking::Members() const {
  std::vector<std::vector<Member>> members(sets_.size());
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (grouped_[t].follows) continue;
    grids_[t].ForBlocks([&](int64_t block, int64_t weights) {
      const int64_t set = SetOf(t, block);
      if (set >= 0) members[set].push_back({t, weights});
    });
  }
  return members;
}

int64_t GroupRanking::removed_sets() const {
  return std::count_if(sets_.begin(), sets_.end(), [](const Set& set) { return set.removed; });
}

}  // namespace secateur
