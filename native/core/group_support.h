// The two kinds of support of a group selection: by what was removed, and by looking at the weights
// again.
#ifndef SECATEUR_CORE_GROUP_SUPPORT_H_
#define SECATEUR_CORE_GROUP_SUPPORT_H_

#include <utility>
#include <vector>

#include "core/block_grid.h"
#include "secateur/groups.h"

namespace secateur {

// Keeps blocks by a flag of each.
class BlockSupport final : public Support {
 public:
  BlockSupport(std::vector<BlockGrid> grids, std::vector<std::vector<uint8_t>> kept)
      : grids_(std::move(grids)), kept_(std::move(kept)) {}
  void Keep(size_t tensor, int64_t first, int64_t count, uint8_t* keep) const override;

 private:
  std::vector<BlockGrid> grids_;
  std::vector<std::vector<uint8_t>> kept_;  // [tensor][block]
};

// Keeps the largest weights of each block; reads whole blocks around what it is asked for.
class WithinSupport final : public Support {
 public:
  WithinSupport(std::vector<Tensor> tensors, const Grouping& grouping, const Backend& backend);
  void Keep(size_t tensor, int64_t first, int64_t count, uint8_t* keep) const override;

 private:
  struct Lanes {
    int64_t block;   // members of a block
    int64_t stride;  // between them
  };
  std::vector<Tensor> tensors_;
  std::vector<Lanes> lanes_;
  int keep_;
  const Backend& backend_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_GROUP_SUPPORT_H_
