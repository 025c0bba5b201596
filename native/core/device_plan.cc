#include "core/device_plan.h"

#include <algorithm>

#include "core/reader.h"
#include "cuda/tiles.h"
#include "secateur/error.h"

namespace secateur {
namespace {

int64_t TilesOf(int64_t count) { return (count + cuda::kTile - 1) / cuda::kTile; }

int64_t Aligned(int64_t bytes) {
  return (bytes + cuda::kAlignment - 1) / cuda::kAlignment * cuda::kAlignment;
}

// Where a tile's weights begin and end in the layout.
struct Extent {
  int64_t begin;
  int64_t end;
};

Extent ExtentOf(const DeviceLayout& layout, int64_t tile) {
  const auto count = static_cast<int64_t>(layout.entries.size());
  const cuda::Entry& entry =
      layout.entries[cuda::EntryOf(layout.entries.data(), count, tile, &cuda::Entry::first_tile)];
  const int64_t element = cuda::BytesOf(entry.dtype);
  const int64_t first = (tile - entry.first_tile) * cuda::kTile;
  const int64_t last = std::min(first + cuda::kTile, entry.count);
  return {entry.offset + first * element, entry.offset + last * element};
}

}  // namespace

DeviceLayout LayOut(const std::vector<Tensor>& tensors) {
  DeviceLayout layout{{}, 0, 0, 0};
  for (const Tensor& tensor : tensors) {
    if (tensor.dtype == DType::kFloat64) {
      throw Error("CUDA",
                  "Expected float32, float16 or bfloat16 weights for a GPU, got float64 in "
                  "tensor \"" +
                      tensor.name + "\"; use the CPU");
    }
    layout.entries.push_back({layout.bytes, tensor.count, layout.tiles, layout.elements,
                              tensor.factor, static_cast<int32_t>(tensor.dtype), 0});
    layout.tiles += TilesOf(tensor.count);
    layout.elements += tensor.count;
    layout.bytes += Aligned(tensor.count * ElementBytes(tensor.dtype));
  }
  return layout;
}

std::vector<DeviceWindow> PlanWindows(const DeviceLayout& layout, int64_t window_bytes) {
  std::vector<DeviceWindow> windows;
  for (int64_t tile = 0; tile < layout.tiles; ++tile) {
    const Extent extent = ExtentOf(layout, tile);
    if (windows.empty() || extent.end - windows.back().offset > window_bytes)
      windows.push_back({tile, tile, extent.begin, 0});
    windows.back().end = tile + 1;
    windows.back().bytes = extent.end - windows.back().offset;
  }
  return windows;
}

std::vector<DevicePiece> PiecesOf(const DeviceLayout& layout, const DeviceWindow& window,
                                  int64_t most_bytes) {
  std::vector<DevicePiece> pieces;
  for (size_t t = 0; t < layout.entries.size(); ++t) {
    const cuda::Entry& entry = layout.entries[t];
    const int64_t begin = std::max<int64_t>(window.begin - entry.first_tile, 0) * cuda::kTile;
    const int64_t end = std::min((window.end - entry.first_tile) * cuda::kTile, entry.count);
    const int64_t element = cuda::BytesOf(entry.dtype);
    const int64_t step = std::max<int64_t>(most_bytes / element, 1);
    for (int64_t first = begin; first < end; first += step) {
      pieces.push_back(
          {t, first, std::min(step, end - first), entry.offset + first * element - window.offset});
    }
  }
  return pieces;
}

int BinShift(const ValueRange& range) {
  int shift = 0;
  while ((range.last - range.first) >> shift >= static_cast<uint64_t>(cuda::kBins)) ++shift;
  return shift;
}

ValueRange NarrowRange(const ValueRange& range, const std::vector<unsigned long long>& bins) {
  const int shift = BinShift(range);
  int64_t rank = range.rank;
  for (size_t bin = 0; bin < bins.size(); ++bin) {
    const auto held = static_cast<int64_t>(bins[bin]);
    if (rank < held) {
      const uint64_t first = range.first + (static_cast<uint64_t>(bin) << shift);
      const uint64_t last = first + ((uint64_t{1} << shift) - 1);
      return {first, std::min(last, range.last), rank};
    }
    rank -= held;
  }
  ThrowChanged();
}

}  // namespace secateur
