// Which sets of blocks go: those of smallest mean square, as many as the ratio takes.
#ifndef SECATEUR_CORE_GROUP_RANKING_H_
#define SECATEUR_CORE_GROUP_RANKING_H_

#include <cstdint>
#include <vector>

#include "core/block_grid.h"
#include "secateur/groups.h"

namespace secateur {

// Sets are numbered in order of their first block, so that ties are kept in that order.
class GroupRanking {
 public:
  // `sums` are the sums of squares of the blocks. Tensors and views must outlive the ranking.
  GroupRanking(const std::vector<Tensor>& tensors, const std::vector<GroupedTensor>& grouped,
               const std::vector<std::vector<double>>& sums);

  // Returns the root mean square of the first set that stays. Throws INVALID_OPTION.
  double Remove(const SelectOptions& options);

  bool Removed(size_t tensor, int64_t block) const {
    const int64_t set = SetOf(tensor, block);
    return set >= 0 && sets_[set].removed;
  }
  int64_t weights() const { return weights_; }
  int64_t sets() const { return static_cast<int64_t>(sets_.size()); }
  int64_t removed_sets() const;

 private:
  struct Set {
    double squares = 0;
    int64_t weights = 0;
    bool removed = false;
  };
  struct Candidate {
    double score;
    int64_t set;
    int64_t weights;
    bool operator<(const Candidate& other) const {
      return score != other.score ? score < other.score : set > other.set;
    }
  };
  struct Member {
    size_t tensor;
    int64_t weights;
  };

  int64_t SetOf(size_t tensor, int64_t block) const;
  void AddBlock(size_t tensor, int64_t block, double squares, int64_t weights);
  double RemoveAmong(int64_t first_set, int64_t end_set, int64_t budget,
                     const SelectOptions& options);
  double RemoveInOrder(std::vector<Candidate>& candidates, int64_t budget);
  size_t PrefixWithin(std::vector<Candidate>& candidates, int64_t budget, int64_t* removed) const;
  void SetFloors(const SelectOptions& options);
  bool BelowFloors() const;
  std::vector<std::vector<Member>> Members() const;

  const std::vector<Tensor>& tensors_;
  const std::vector<GroupedTensor>& grouped_;
  std::vector<BlockGrid> grids_;
  std::vector<int64_t> first_set_;  // of tensors without explicit sets
  std::vector<int64_t> numbers_;    // of explicit sets, by what they are called; -1: not ranked
  std::vector<Set> sets_;
  std::vector<int64_t> most_;  // weights that may go, by tensor
  int64_t weights_ = 0;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_GROUP_RANKING_H_
