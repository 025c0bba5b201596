// How a group of tensors lies in a GPU's memory, and how one that does not fit is streamed through
// it: plain arithmetic, known before anything is copied.
#ifndef SECATEUR_CORE_DEVICE_PLAN_H_
#define SECATEUR_CORE_DEVICE_PLAN_H_

#include <cstdint>
#include <vector>

#include "cuda/api.h"
#include "secateur/tensor.h"

namespace secateur {

struct DeviceLayout {
  std::vector<cuda::Entry> entries;  // one a tensor
  int64_t tiles;
  int64_t elements;
  int64_t bytes;  // with what is left free to align tensors
};

// Tensors one after another, each at a multiple of cuda::kAlignment. Throws Error CUDA for a tensor
// of float64.
DeviceLayout LayOut(const std::vector<Tensor>& tensors);

// Tiles whose weights are on the device together.
struct DeviceWindow {
  int64_t begin;
  int64_t end;
  int64_t offset;  // in the layout, bytes
  int64_t bytes;
};

// Whole tiles, as many as fit into `window_bytes` (at least one), in order; together all.
std::vector<DeviceWindow> PlanWindows(const DeviceLayout& layout, int64_t window_bytes);

// Elements of one tensor that lie in a window.
struct DevicePiece {
  size_t tensor;
  int64_t first;
  int64_t count;
  int64_t offset;  // in the window, bytes
};

// The pieces of a window, none longer than `most_bytes`, so that threads can share them.
std::vector<DevicePiece> PiecesOf(const DeviceLayout& layout, const DeviceWindow& window,
                                  int64_t most_bytes);

// The next, narrower range of values that holds rank `rank`, given how many values of [first, last]
// fall into bins of 2^shift.
struct ValueRange {
  uint64_t first;
  uint64_t last;
  int64_t rank;  // of what is sought, in the range
};
int BinShift(const ValueRange& range);
// Throws FILE_CHANGED when the bins hold too few.
ValueRange NarrowRange(const ValueRange& range, const std::vector<unsigned long long>& bins);

}  // namespace secateur

#endif  // SECATEUR_CORE_DEVICE_PLAN_H_
