// Weights in groups: output channels, blocks, and the n largest of m. A weight tensor is seen as a
// matrix of outputs by inputs and cut into blocks of rows and columns; either whole blocks go,
// those of smallest mean square over all tensors together, or in each block all but the largest
// weights.
#ifndef SECATEUR_GROUPS_H_
#define SECATEUR_GROUPS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "secateur/select.h"
#include "secateur/tensor.h"

namespace secateur {

// How a tensor lies in memory as a matrix: element ((b * outer + o) * rows + r) * inner + i is in
// row b * rows + r and column o * inner + i. Conv [M, C, kH, kW] is {1, 1, M, C * kH * kW}; MatMul
// [K, N] is {1, K, N, 1}; ConvTranspose [C, M, kH, kW] is {1, C, M, kH * kW}.
struct MatrixView {
  int64_t batches = 1;
  int64_t outer = 1;
  int64_t rows = 0;
  int64_t inner = 1;

  int64_t columns() const { return outer * inner; }
  int64_t count() const { return batches * outer * rows * inner; }
};

inline constexpr int32_t kNeverRemoved = -1;

// A tensor's blocks are numbered row by row. The last ones of a row or of the columns of a batch
// are smaller where the view is no multiple of them; none spans two batches.
struct GroupedTensor {
  MatrixView view;
  int64_t block_rows = 1;
  int64_t block_columns = 1;
  // The set of each block: blocks of one set, in whichever tensors, go together. Empty: each block
  // is a set of its own.
  std::vector<int32_t> sets;
  // Goes where its sets go, but is neither ranked nor counted: the bias of a channel.
  bool follows = false;
};

// kWhole: blocks go or stay whole. kWithin: of each block the `keep` largest stay; blocks have one
// row, and columns that divide the view's; of inner and outer one is 1.
enum class GroupRule : uint8_t { kWhole, kWithin };

struct Grouping {
  GroupRule rule = GroupRule::kWhole;
  int64_t keep = 0;
  std::vector<GroupedTensor> tensors;  // those that are selected from, in order
};

inline constexpr int64_t kMostWithin = 32;  // columns of a block under kWithin

// Which weights stay. May be asked from any number of threads at once.
class Support {
 public:
  virtual ~Support() = default;
  // keep[i] = 1 where weight `first` + i of the tensor stays, else 0. Reads the weights again under
  // kWithin. Throws what sources throw.
  virtual void Keep(size_t tensor, int64_t first, int64_t count, uint8_t* keep) const = 0;
};

struct TensorGroups {
  int64_t removed = 0;  // weights
  int64_t groups = 0;   // blocks
  int64_t removed_groups = 0;
};

struct GroupSelection {
  double ratio = 0;
  // The root mean square below which groups went: that of the first one kept; NaN under kWithin and
  // Scope::kLayer.
  double threshold = 0;
  int64_t weights = 0;  // without those that follow
  int64_t removed = 0;
  int64_t groups = 0;  // sets under kWhole, blocks under kWithin
  int64_t removed_groups = 0;
  std::vector<TensorGroups> tensors;
  std::shared_ptr<const Support> support;  // the sources of the tensors must outlive it
};

// kWhole: with N weights in all, sets go in order of their mean square, each element times its
// tensor's factor, until the next one would make them more than round(ratio * N). Of equal ones the
// first in order of tensor, then of block, stay. At least ceil(min_keep * count) weights of each
// tensor stay, and with explicit sets at least one of its blocks: a set that would go below that is
// passed over. Scope::kLayer ranks each tensor by itself and takes no explicit sets.
// kWithin: equal magnitudes are kept in order; ratio, scope and min_keep mean nothing.
// Sums have a fixed order, so the answer has the same bits for every backend and thread count.
//
// Throws Error: INVALID_OPTION, also when what may go is less than the ratio asks for;
// NONFINITE_WEIGHT with tensor and index (under kWhole groups with such weights stay if
// allow_nonfinite); ABORTED; what sources throw.
GroupSelection SelectGroups(const std::vector<Tensor>& tensors, const Grouping& grouping,
                            const SelectOptions& given);

}  // namespace secateur

#endif  // SECATEUR_GROUPS_H_
