// How groups lie on a GPU and are streamed through it, and the histograms that find a value there.
#include "core/device_plan.h"

#include <algorithm>
#include <random>

#include "failures.h"
#include "secateur/error.h"
#include "test.h"

namespace secateur::test {
namespace {

DeviceLayout LayoutOf(const std::vector<std::pair<DType, int64_t>>& shapes) {
  std::vector<Tensor> tensors;
  for (const auto& [dtype, count] : shapes) tensors.push_back({"", dtype, 1, count, {}});
  return LayOut(tensors);
}

TEST(TensorsBeginAligned) {
  const DeviceLayout layout = LayoutOf({{DType::kFloat32, 1},
                                        {DType::kFloat16, 0},
                                        {DType::kBFloat16, 8193},
                                        {DType::kFloat32, int64_t{5} << 32}});
  EXPECT_EQ(layout.entries[2].offset, 256);
  EXPECT_EQ(layout.entries[2].first_tile, 1);
  EXPECT_EQ(layout.entries[3].first_tile, 3);
  EXPECT_EQ(layout.entries[3].first, 8194);
  EXPECT_EQ(layout.tiles, 3 + (int64_t{5} << 32) / cuda::kTile);
  for (const cuda::Entry& entry : layout.entries) EXPECT_EQ(entry.offset % cuda::kAlignment, 0);
}

// Every element is in one piece of one window, and pieces lie where kernels look.
TEST(WindowsCoverEverything) {
  const DeviceLayout layout = LayoutOf({{DType::kFloat32, 20000},
                                        {DType::kFloat16, 0},
                                        {DType::kFloat16, 5},
                                        {DType::kBFloat16, 70000},
                                        {DType::kFloat32, 8192}});
  for (const int64_t window_bytes : {1, 40000, 100000, 1 << 30}) {
    std::vector<int64_t> next(layout.entries.size(), 0);
    int64_t tile = 0;
    for (const DeviceWindow& window : PlanWindows(layout, window_bytes)) {
      EXPECT_EQ(window.begin, tile);
      EXPECT(window.bytes <= window_bytes || window.end == window.begin + 1);
      tile = window.end;
      for (const DevicePiece& piece : PiecesOf(layout, window, 10000)) {
        const cuda::Entry& entry = layout.entries[piece.tensor];
        const int64_t element = entry.dtype == 0 ? 4 : 2;
        EXPECT_EQ(piece.first, next[piece.tensor]);
        EXPECT_EQ(window.offset + piece.offset, entry.offset + piece.first * element);
        EXPECT(piece.offset >= 0 && piece.offset + piece.count * element <= window.bytes);
        next[piece.tensor] += piece.count;
      }
    }
    EXPECT_EQ(tile, layout.tiles);
    for (size_t t = 0; t < next.size(); ++t) EXPECT_EQ(next[t], layout.entries[t].count);
  }
}

TEST(HistogramsFindTheValueOfARank) {
  std::mt19937_64 random(7);
  for (const int bits : {1, 11, 12, 31, 63}) {
    std::vector<uint64_t> values;
    for (int i = 0; i < 3000; ++i) values.push_back(random() >> (64 - bits));
    std::sort(values.begin(), values.end());
    for (const int64_t rank : {0, 1500, 2999}) {
      ValueRange range{0, ~uint64_t{0} >> (64 - bits), rank};
      int rounds = 0;
      for (; range.first < range.last; ++rounds) {
        std::vector<unsigned long long> bins(cuda::kBins, 0);
        for (uint64_t value : values) {
          if (value >= range.first && value <= range.last)
            ++bins[(value - range.first) >> BinShift(range)];
        }
        range = NarrowRange(range, bins);
      }
      EXPECT_EQ(range.first, values[static_cast<size_t>(rank)]);
      EXPECT(rounds <= (bits + 10) / 11);
    }
  }
}

TEST(RefusesRanksThatAreNotThere) {
  EXPECT_EQ(CodeOf([&] { NarrowRange({0, 100, 5}, {1, 2}); }), std::string("FILE_CHANGED"));
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
