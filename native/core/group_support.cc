#include "core/group_support.h"

#include <algorithm>
#include <cstring>

#include "core/elements.h"
#include "core/key_buffer.h"

namespace secateur {

void BlockSupport::Keep(size_t tensor, int64_t first, int64_t count, uint8_t* keep) const {
  const BlockGrid& grid = grids_[tensor];
  const uint8_t* kept = kept_[tensor].data();
  grid.ForRuns(
      first, count, [&](int64_t batch, int64_t row, int64_t column, int64_t at, int64_t run) {
        if (grid.IsColumnOfBlocks()) {
          std::copy_n(kept + grid.At(batch, row, column), run, keep + at);
          return;
        }
        grid.ForParts(batch, row, column, run, [&](int64_t block, int64_t begin, int64_t part) {
          std::fill_n(keep + at + begin, part, kept[block]);
        });
      });
}

WithinSupport::WithinSupport(std::vector<Tensor> tensors, const Grouping& grouping,
                             const Backend& backend)
    : tensors_(std::move(tensors)), keep_(static_cast<int>(grouping.keep)), backend_(backend) {
  for (const GroupedTensor& tensor : grouping.tensors) {
    lanes_.push_back({tensor.block_columns, tensor.view.inner > 1 ? 1 : tensor.view.rows});
  }
}

void WithinSupport::Keep(size_t tensor, int64_t first, int64_t count, uint8_t* keep) const {
  constexpr int64_t kElements = int64_t{16} << 10;  // at a time, or one tile
  const int64_t block = lanes_[tensor].block;
  const int64_t stride = lanes_[tensor].stride;
  const DType dtype = tensors_[tensor].dtype;
  const int64_t tile = block * stride;
  const int64_t step = std::max<int64_t>(1, kElements / tile) * tile;
  const int64_t end = first + count;
  const KeyBuffer scratch(step * (ElementBytes(dtype) + 1));
  auto* kept = reinterpret_cast<uint8_t*>(scratch.data() + step * ElementBytes(dtype));
  for (int64_t begin = first / tile * tile; begin < end; begin += step) {
    const int64_t tiles = (std::min(step, end - begin) + tile - 1) / tile;
    const std::byte* weights = ReadElements(tensors_[tensor], begin, tiles * tile, scratch.data());
    WithKeyType(ElementBytes(dtype), [&](auto type) {
      backend_.For<decltype(type)>().keep_largest(weights, kept, tiles, stride,
                                                  static_cast<int>(block), keep_);
    });
    const int64_t from = std::max(begin, first);
    const int64_t to = std::min(begin + tiles * tile, end);
    std::memcpy(keep + from - first, kept + from - begin, static_cast<size_t>(to - from));
  }
}

}  // namespace secateur
