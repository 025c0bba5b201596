// The blocks of a grouped tensor: which block each element is in, and how large blocks are.
#ifndef SECATEUR_CORE_BLOCK_GRID_H_
#define SECATEUR_CORE_BLOCK_GRID_H_

#include <algorithm>
#include <cstdint>

#include "secateur/groups.h"

namespace secateur {

class BlockGrid {
 public:
  explicit BlockGrid(const GroupedTensor& tensor)
      : view_(tensor.view),
        block_rows_(std::min(tensor.block_rows, std::max<int64_t>(tensor.view.rows, 1))),
        block_columns_(std::min(tensor.block_columns, std::max<int64_t>(view_.columns(), 1))),
        down_((view_.rows + block_rows_ - 1) / block_rows_),
        across_((view_.columns() + block_columns_ - 1) / block_columns_) {}

  const MatrixView& view() const { return view_; }
  int64_t block_rows() const { return block_rows_; }
  int64_t block_columns() const { return block_columns_; }
  int64_t down() const { return down_; }  // of one batch
  int64_t across() const { return across_; }
  int64_t count() const { return view_.batches * down_ * across_; }

  int64_t At(int64_t batch, int64_t row, int64_t column) const {
    return (batch * down_ + row / block_rows_) * across_ + column / block_columns_;
  }

  // Calls body(block, weights) for the blocks in order, with their numbers of elements.
  template <class Body>
  void ForBlocks(const Body& body) const {
    int64_t block = 0;
    for (int64_t batch = 0; batch < view_.batches; ++batch) {
      for (int64_t row = 0; row < view_.rows; row += block_rows_) {
        const int64_t rows = std::min(block_rows_, view_.rows - row);
        for (int64_t column = 0; column < view_.columns(); column += block_columns_) {
          body(block++, rows * std::min(block_columns_, view_.columns() - column));
        }
      }
    }
  }

  // Calls body(batch, row, column, at, count) for the parts of the elements [first, first + count)
  // along which only the column changes or, where inner is 1, only the row; `at` counts from
  // `first`.
  template <class Body>
  void ForRuns(int64_t first, int64_t count, const Body& body) const {
    for (int64_t at = 0; at < count;) {
      const int64_t inner = (first + at) % view_.inner;
      const int64_t line = (first + at) / view_.inner;
      const int64_t row = line % view_.rows;
      const int64_t outer = line / view_.rows % view_.outer;
      const int64_t run =
          std::min(view_.inner > 1 ? view_.inner - inner : view_.rows - row, count - at);
      body(line / view_.rows / view_.outer, row, outer * view_.inner + inner, at, run);
      at += run;
    }
  }

  // Calls body(block, at, count) for the parts of such a run that lie in one block; `at` counts
  // from its begin.
  template <class Body>
  void ForParts(int64_t batch, int64_t row, int64_t column, int64_t run, const Body& body) const {
    const bool down = view_.inner == 1;
    const int64_t size = down ? block_rows_ : block_columns_;
    const int64_t step = down ? across_ : 1;
    int64_t block = At(batch, row, column);
    int64_t part = std::min(size - (down ? row : column) % size, run);
    for (int64_t at = 0; at < run; block += step) {
      body(block, at, part);
      at += part;
      part = std::min(size, run - at);
    }
  }

  // Whether runs go down rows that are blocks: a run is a run of blocks.
  bool IsColumnOfBlocks() const { return view_.inner == 1 && block_rows_ == 1 && across_ == 1; }

 private:
  MatrixView view_;
  int64_t block_rows_;
  int64_t block_columns_;
  int64_t down_;
  int64_t across_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_BLOCK_GRID_H_
