// The kernels of selection: a sample, the one pass that classifies and compacts, histograms of what
// it has stored, and the tally of a threshold.
#include "core/sample_places.h"
#include "core/score.h"
#include "cuda/kernels.h"
#include "cuda/platform.h"
#include "cuda/tiles.h"

namespace secateur::cuda {
namespace {

constexpr int kKeys = static_cast<int>(kTile) / kThreads;  // a thread: as many as a mask has bits
static_assert(kKeys == 32);
constexpr int32_t kNoKey = -1;  // below every bound

// The value by which a weight is compared: its key, or its score.
__device__ uint64_t ValueOf(const Entry& entry, bool uniform, uint32_t key) {
  return uniform ? key : ScoreMap(static_cast<DType>(entry.dtype), entry.factor).Score(key);
}

__device__ uint32_t KeyAt(const Entry& entry, const std::byte* weights, int64_t index) {
  if (BytesOf(entry.dtype) == 4)
    return reinterpret_cast<const uint32_t*>(weights)[index] & 0x7fffffffU;
  return reinterpret_cast<const uint16_t*>(weights)[index] & 0x7fffU;
}

// One thread a value. A tensor shorter than a block is repeated, as on the CPU.
__global__ void Sample(SampleArgs a) {
  const int64_t values = a.blocks * kSampleBlock;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < values;
       i += step) {
    const int64_t position = SamplePosition(i / kSampleBlock, a.blocks, a.elements);
    const int64_t at = EntryOf(a.tiles.entries, a.tiles.entry_count, position, &Entry::first);
    const Entry& entry = a.tiles.entries[at];
    const int64_t index = SampleIndex(position - entry.first, entry.count, i % kSampleBlock);
    const std::byte* weights = a.tiles.base + entry.offset;
    const uint64_t value = ValueOf(entry, a.uniform, KeyAt(entry, weights, index));
    if (a.value_bytes == 2) {
      static_cast<uint16_t*>(a.values)[i] = static_cast<uint16_t>(value);
    } else if (a.value_bytes == 4) {
      static_cast<uint32_t*>(a.values)[i] = static_cast<uint32_t>(value);
    } else {
      static_cast<uint64_t*>(a.values)[i] = value;
    }
  }
}

__device__ void Unpack(const uint4& vector, int32_t* keys, uint32_t) {
  keys[0] = static_cast<int32_t>(vector.x & 0x7fffffffU);
  keys[1] = static_cast<int32_t>(vector.y & 0x7fffffffU);
  keys[2] = static_cast<int32_t>(vector.z & 0x7fffffffU);
  keys[3] = static_cast<int32_t>(vector.w & 0x7fffffffU);
}

__device__ void Unpack(const uint4& vector, int32_t* keys, uint16_t) {
  const uint32_t words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    keys[2 * i] = static_cast<int32_t>(words[i] & 0x7fffU);
    keys[2 * i + 1] = static_cast<int32_t>(words[i] >> 16 & 0x7fffU);
  }
}

// A thread's keys of a tile: vectors of 16 bytes, those of a warp side by side. All are asked for
// before one is looked at.
template <class Key>
__device__ void LoadKeys(const Tile& tile, int32_t (&keys)[kKeys]) {
  constexpr int kLanes = 16 / static_cast<int>(sizeof(Key));
  constexpr int kVectors = kKeys / kLanes;
  const auto* vectors = reinterpret_cast<const uint4*>(tile.weights);
  if (tile.count == kTile) {
    uint4 loaded[kVectors];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) loaded[v] = __ldcs(vectors + v * kThreads + threadIdx.x);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) Unpack(loaded[v], keys + v * kLanes, Key{});
    return;
  }
  const auto* weights = reinterpret_cast<const Key*>(tile.weights);
  constexpr Key kMagnitude = static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      const int index = (v * kThreads + static_cast<int>(threadIdx.x)) * kLanes + i;
      keys[v * kLanes + i] =
          index < tile.count ? static_cast<int32_t>(weights[index] & kMagnitude) : kNoKey;
    }
  }
}

__device__ uint32_t AtLeast(const int32_t (&keys)[kKeys], uint32_t bound) {
  uint32_t above = 0;
#pragma unroll
  for (int i = 0; i < kKeys; ++i) {
    above |= (keys[i] >= static_cast<int32_t>(bound) ? 1U : 0U) << i;
  }
  return above;
}

// The sum of `mine` over the lanes up to this one.
__device__ uint32_t ScanWarp(uint32_t mine) {
  uint32_t sum = mine;
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const uint32_t below = __shfl_up_sync(kAllLanes, sum, distance);
    if (threadIdx.x % kWarp >= distance) sum += below;
  }
  return sum;
}

struct Shared {
  uint32_t at_least[kWarps][kMaxCuts];
  uint32_t stored[kWarps];
  unsigned long long place;
};

// Counts a tile's classes into `shared`, warp by warp; which of the thread's keys are to be stored.
__device__ uint32_t CountClasses(const ClassifyArgs& a, int64_t tensor,
                                 const int32_t (&keys)[kKeys], Shared& shared) {
  const uint32_t* bounds = a.bounds + tensor * a.cut_count;
  uint32_t stored = 0;
  for (int j = 0; j < a.cut_count; ++j) {
    const uint32_t above = AtLeast(keys, bounds[j]);
    const unsigned sum = __reduce_add_sync(kAllLanes, static_cast<unsigned>(__popc(above)));
    if (threadIdx.x % kWarp == 0) shared.at_least[threadIdx.x / kWarp][j] = sum;
    if ((a.store_edges >> j & 1U) != 0) stored ^= above;
  }
  return stored;
}

// Reserves room for the tile's stored keys and writes them there, in the order of threads. All
// threads of the block take part.
__device__ void StoreKeys(const ClassifyArgs& a, int64_t tile, const int32_t (&keys)[kKeys],
                          uint32_t chosen, uint32_t before_in_warp, Shared& shared) {
  uint32_t before = before_in_warp;
  uint32_t all = 0;
  for (int warp = 0; warp < kWarps; ++warp) {
    if (warp < static_cast<int>(threadIdx.x) / kWarp) before += shared.stored[warp];
    all += shared.stored[warp];
  }
  if (threadIdx.x == 0) {
    unsigned long long place = 0;
    if (all > 0) place = atomicAdd(a.next, static_cast<unsigned long long>(all));
    const bool fits = place + all <= static_cast<unsigned long long>(a.capacity);
    a.segments[tile] = {static_cast<int64_t>(place), fits ? static_cast<int64_t>(all) : 0};
    shared.place = place;
  }
  __syncthreads();
  if (shared.place + all > static_cast<unsigned long long>(a.capacity)) return;
  uint32_t* out = a.stored + shared.place + before;
#pragma unroll
  for (int i = 0; i < kKeys; ++i) {
    if ((chosen >> i & 1U) != 0) *out++ = static_cast<uint32_t>(keys[i]);
  }
}

__global__ void __launch_bounds__(kThreads, 3) Classify(ClassifyArgs a) {
  __shared__ Shared shared;
  const auto j = static_cast<int>(threadIdx.x);
  unsigned long long total = 0;  // of cut j
  TileWalk walk(a.tiles, kTile);
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  for (int64_t tile = ShareBegin(a.tiles, blockIdx.x, gridDim.x); tile < end; ++tile) {
    const Tile at = walk.At(tile);
    int32_t keys[kKeys];
    if (BytesOf(a.tiles.entries[at.entry].dtype) == 4) {
      LoadKeys<uint32_t>(at, keys);
    } else {
      LoadKeys<uint16_t>(at, keys);
    }
    const uint32_t chosen = CountClasses(a, at.entry, keys, shared);
    const auto mine = static_cast<uint32_t>(__popc(chosen));
    const uint32_t up_to_mine = ScanWarp(mine);
    if (threadIdx.x % kWarp == kWarp - 1) shared.stored[threadIdx.x / kWarp] = up_to_mine;
    __syncthreads();
    if (j < a.cut_count) {
      uint32_t sum = 0;
      for (const auto& warp : shared.at_least) sum += warp[j];
      a.counts[tile * a.cut_count + j] = sum;
      total += sum;
    }
    if (a.stored != nullptr) StoreKeys(a, tile, keys, chosen, up_to_mine - mine, shared);
    __syncthreads();
  }
  if (j < a.cut_count && total > 0) atomicAdd(a.totals + j, total);
}

// A warp a tile.
__global__ void Histogram(HistogramArgs a) {
  __shared__ uint32_t bins[kBins];
  for (int i = static_cast<int>(threadIdx.x); i < kBins; i += kThreads) bins[i] = 0;
  __syncthreads();
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  TileWalk walk(a.tiles, kTile);
  for (int64_t tile = ShareBegin(a.tiles, blockIdx.x, gridDim.x) + threadIdx.x / kWarp; tile < end;
       tile += kWarps) {
    const Segment segment = a.segments[tile];
    if (segment.count == 0) continue;
    const Entry& entry = a.tiles.entries[walk.At(tile).entry];
    for (int64_t i = threadIdx.x % kWarp; i < segment.count; i += kWarp) {
      const uint64_t value = ValueOf(entry, a.uniform, a.stored[segment.begin + i]);
      if (value < a.first || value > a.last) continue;
      atomicAdd(bins + ((value - a.first) >> a.shift), 1U);
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kBins; i += kThreads) {
    if (bins[i] > 0) atomicAdd(a.bins + i, static_cast<unsigned long long>(bins[i]));
  }
}

struct TileTally {
  uint32_t below;
  uint32_t ties;
};

// Of the stored keys, over all lanes of the warp.
__device__ TileTally TallyStored(const TallyArgs& a, int64_t tile, const Marks& marks) {
  const Segment segment = a.segments[tile];
  TileTally mine = {0, 0};
  for (int64_t i = threadIdx.x % kWarp; i < segment.count; i += kWarp) {
    const uint32_t key = a.stored[segment.begin + i];
    if (key >= marks.first && key < marks.begin) ++mine.below;
    if (key >= marks.begin && key < marks.end) ++mine.ties;
  }
  return {__reduce_add_sync(kAllLanes, mine.below), __reduce_add_sync(kAllLanes, mine.ties)};
}

__device__ TileTally TallyTile(const TallyArgs& a, int64_t tile, const Tile& at) {
  const uint32_t* counts = a.counts + tile * a.cut_count;
  const auto count = static_cast<uint32_t>(at.count);
  const uint32_t from_class = a.class_index == 0 ? count : counts[a.class_index - 1];
  const uint32_t after_class = a.class_index < a.cut_count ? counts[a.class_index] : 0;
  if (!a.class_stored) return {count - from_class, from_class - after_class};
  const TileTally stored = TallyStored(a, tile, a.marks[at.entry]);
  return {count - from_class + stored.below, stored.ties};
}

__device__ void AddTally(const TallyArgs& a, int64_t tensor, unsigned long long below,
                         unsigned long long ties) {
  if (threadIdx.x % kWarp != 0) return;
  if (below > 0) atomicAdd(a.tallies + 2 * tensor, below);
  if (ties > 0) atomicAdd(a.tallies + 2 * tensor + 1, ties);
}

// A warp a tile; sums are added where the tensor changes, not for every tile.
__global__ void Tally(TallyArgs a) {
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  TileWalk walk(a.tiles, kTile);
  int64_t tensor = -1;
  unsigned long long below = 0;
  unsigned long long ties = 0;
  for (int64_t tile = ShareBegin(a.tiles, blockIdx.x, gridDim.x) + threadIdx.x / kWarp; tile < end;
       tile += kWarps) {
    const Tile at = walk.At(tile);
    if (at.entry != tensor) {
      if (tensor >= 0) AddTally(a, tensor, below, ties);
      tensor = at.entry;
      below = ties = 0;
    }
    const TileTally tally = TallyTile(a, tile, at);
    if (threadIdx.x % kWarp == 0) a.tile_ties[tile] = tally.ties;
    below += tally.below;
    ties += tally.ties;
  }
  if (tensor >= 0) AddTally(a, tensor, below, ties);
}

}  // namespace

int32_t LaunchSample(const SampleArgs* a, Stream stream) {
  const int64_t blocks = (a->blocks * kSampleBlock + kThreads - 1) / kThreads;
  SECATEUR_LAUNCH(Sample, static_cast<unsigned>(blocks), stream, *a);
  return LastFailure();
}

int32_t LaunchClassify(const ClassifyArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Classify, GridFor(a->tiles, Work::kSelect), stream, *a);
  return LastFailure();
}

int32_t LaunchHistogram(const HistogramArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Histogram, GridFor(a->tiles, Work::kSelect), stream, *a);
  return LastFailure();
}

int32_t LaunchTally(const TallyArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Tally, GridFor(a->tiles, Work::kSelect), stream, *a);
  return LastFailure();
}

}  // namespace secateur::cuda
