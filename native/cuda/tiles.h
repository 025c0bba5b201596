// Which weights a block of threads looks at, and how they come into registers.
#ifndef SECATEUR_CUDA_TILES_H_
#define SECATEUR_CUDA_TILES_H_

#include "core/host_device.h"
#include "cuda/api.h"
#include "secateur/dtype.h"

namespace secateur::cuda {

// The entry of a number in [0, all): the last whose first number is not above it. Entries without
// elements have no tiles and share their first number with the next, so the last it is.
SECATEUR_HD inline int64_t EntryOf(const Entry* entries, int64_t count, int64_t number,
                                   int64_t Entry::*first) {
  int64_t low = 0;
  int64_t high = count - 1;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (entries[middle].*first <= number) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

struct Tile {
  int64_t entry;
  int64_t first;  // element of the tensor
  int32_t count;
  const std::byte* weights;
};

SECATEUR_HD inline int32_t BytesOf(int32_t dtype) {
  return dtype == static_cast<int32_t>(DType::kFloat32) ? 4 : 2;
}

// Follows a block's run of tiles from tensor to tensor.
class TileWalk {
 public:
  SECATEUR_HD TileWalk(const Tiles& tiles, int64_t tile_elements)
      : tiles_(tiles), elements_(tile_elements) {}

  SECATEUR_HD Tile At(int64_t tile) {
    const Entry* entries = tiles_.entries;
    if (entry_ < 0) entry_ = EntryOf(entries, tiles_.entry_count, tile, &Entry::first_tile);
    while (entry_ + 1 < tiles_.entry_count && entries[entry_ + 1].first_tile <= tile) ++entry_;
    const Entry& entry = entries[entry_];
    const int64_t first = (tile - entry.first_tile) * elements_;
    const int64_t left = entry.count - first;
    return {entry_, first, static_cast<int32_t>(left < elements_ ? left : elements_),
            tiles_.base + entry.offset + first * BytesOf(entry.dtype)};
  }

 private:
  const Tiles& tiles_;
  int64_t elements_;
  int64_t entry_ = -1;
};

// The share of `part` of `parts` in the tiles: where it begins; the next begins where it ends.
SECATEUR_HD inline int64_t ShareBegin(const Tiles& tiles, int64_t part, int64_t parts) {
  const int64_t count = tiles.end - tiles.begin;
  const int64_t each = count / parts;
  const int64_t rest = count % parts;
  return tiles.begin + part * each + (part < rest ? part : rest);
}

// How a mask decides; the same for the CPU's TensorThreshold.
SECATEUR_HD inline bool Keeps(const Bounds& bounds, uint32_t key, int64_t index) {
  return key >= (index < bounds.cut ? bounds.begin : bounds.end);
}

}  // namespace secateur::cuda

#endif  // SECATEUR_CUDA_TILES_H_
