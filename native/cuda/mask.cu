// The kernels that apply a selection: zeroing in place or into other memory, the mask as bits; and
// the plain read that all is measured against.
#include "cuda/kernels.h"
#include "cuda/platform.h"
#include "cuda/tiles.h"

namespace secateur::cuda {
namespace {

// Whole vectors of 16 bytes of a tile, and its elements.
template <class Key>
struct Lanes {
  static constexpr int kCount = 16 / static_cast<int>(sizeof(Key));
  static constexpr int kVectors = static_cast<int>(kTile) / kCount / kThreads;
  static constexpr Key kMagnitude = static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);
};

// out = kept ? bits : 0; counts what is not zero then.
template <class Key>
__device__ Key MaskOne(Key bits, const Bounds& bounds, int64_t index, uint32_t& nonzeros) {
  const Key key = bits & Lanes<Key>::kMagnitude;
  const bool keeps = Keeps(bounds, key, index);
  if (keeps && key != 0) ++nonzeros;
  return keeps ? bits : Key{0};
}

__device__ uint32_t MaskWord(uint32_t word, const Bounds& bounds, int64_t index, uint32_t& nonzeros,
                             uint32_t) {
  return MaskOne<uint32_t>(word, bounds, index, nonzeros);
}

__device__ uint32_t MaskWord(uint32_t word, const Bounds& bounds, int64_t index, uint32_t& nonzeros,
                             uint16_t) {
  const auto low = static_cast<uint16_t>(word);
  const auto high = static_cast<uint16_t>(word >> 16);
  const uint32_t masked_low = MaskOne<uint16_t>(low, bounds, index, nonzeros);
  const uint32_t masked_high = MaskOne<uint16_t>(high, bounds, index + 1, nonzeros);
  return masked_low | masked_high << 16;
}

template <class Key>
__device__ uint4 MaskVector(const uint4& in, const Bounds& bounds, int64_t index,
                            uint32_t& nonzeros) {
  constexpr int kWord = 4 / static_cast<int>(sizeof(Key));
  uint4 out;
  out.x = MaskWord(in.x, bounds, index, nonzeros, Key{});
  out.y = MaskWord(in.y, bounds, index + kWord, nonzeros, Key{});
  out.z = MaskWord(in.z, bounds, index + 2 * kWord, nonzeros, Key{});
  out.w = MaskWord(in.w, bounds, index + 3 * kWord, nonzeros, Key{});
  return out;
}

template <class Key>
__device__ uint32_t MaskTile(const Tile& tile, std::byte* out, const Bounds& bounds) {
  uint32_t nonzeros = 0;
  const auto thread = static_cast<int>(threadIdx.x);
  if (tile.count == kTile) {
    const auto* from = reinterpret_cast<const uint4*>(tile.weights);
    auto* to = reinterpret_cast<uint4*>(out);
    uint4 loaded[Lanes<Key>::kVectors];
#pragma unroll
    for (int v = 0; v < Lanes<Key>::kVectors; ++v) loaded[v] = __ldcs(from + v * kThreads + thread);
#pragma unroll
    for (int v = 0; v < Lanes<Key>::kVectors; ++v) {
      const int vector = v * kThreads + thread;
      const int64_t index = tile.first + static_cast<int64_t>(vector) * Lanes<Key>::kCount;
      __stcs(to + vector, MaskVector<Key>(loaded[v], bounds, index, nonzeros));
    }
    return nonzeros;
  }
  const auto* from = reinterpret_cast<const Key*>(tile.weights);
  auto* to = reinterpret_cast<Key*>(out);
  for (int i = thread; i < tile.count; i += kThreads)
    to[i] = MaskOne<Key>(from[i], bounds, tile.first + i, nonzeros);
  return nonzeros;
}

// All lanes of the warp take part.
__device__ void AddNonzeros(unsigned long long* to, uint32_t mine) {
  const unsigned sum = __reduce_add_sync(kAllLanes, mine);
  if (threadIdx.x % kWarp == 0 && sum > 0) atomicAdd(to, static_cast<unsigned long long>(sum));
}

// A thread counts at most 2^32 elements between two additions: those of 2^27 tiles.
__global__ void __launch_bounds__(kThreads, 4) Mask(MaskArgs a) {
  TileWalk walk(a.tiles, kTile);
  int64_t tensor = -1;
  uint32_t nonzeros = 0;
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  for (int64_t tile = ShareBegin(a.tiles, blockIdx.x, gridDim.x); tile < end; ++tile) {
    const Tile at = walk.At(tile);
    if (at.entry != tensor) {
      if (tensor >= 0) AddNonzeros(a.nonzeros + tensor, nonzeros);
      tensor = at.entry;
      nonzeros = 0;
    }
    std::byte* out = a.out + (at.weights - a.tiles.base);
    const bool wide = BytesOf(a.tiles.entries[at.entry].dtype) == 4;
    nonzeros += wide ? MaskTile<uint32_t>(at, out, a.bounds[tensor])
                     : MaskTile<uint16_t>(at, out, a.bounds[tensor]);
  }
  if (tensor >= 0) AddNonzeros(a.nonzeros + tensor, nonzeros);
}

template <class Key>
__device__ bool KeptAt(const Tile& tile, int index, const Bounds& bounds) {
  if (index >= tile.count) return false;
  const Key bits = reinterpret_cast<const Key*>(tile.weights)[index];
  return Keeps(bounds, bits & Lanes<Key>::kMagnitude, tile.first + index);
}

// A warp makes a word of 32 bits at a time.
__global__ void Pack(PackArgs a) {
  TileWalk walk(a.tiles, kTile);
  const auto lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  for (int64_t tile = ShareBegin(a.tiles, blockIdx.x, gridDim.x); tile < end; ++tile) {
    const Tile at = walk.At(tile);
    const Bounds bounds = a.bounds[at.entry];
    const bool wide = BytesOf(a.tiles.entries[at.entry].dtype) == 4;
    uint32_t* words = a.words + a.first_word[at.entry] + at.first / kWarp;
    for (int word = static_cast<int>(threadIdx.x) / kWarp; word * kWarp < at.count;
         word += kWarps) {
      const int index = word * kWarp + lane;
      const bool kept =
          wide ? KeptAt<uint32_t>(at, index, bounds) : KeptAt<uint16_t>(at, index, bounds);
      const unsigned bits = __ballot_sync(kAllLanes, kept);
      if (lane == 0) words[word] = bits;
    }
  }
}

__global__ void Read(const uint4* memory, int64_t vectors, uint32_t* result) {
  constexpr int kUnroll = 4;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  uint32_t bits = 0;
  for (; i + (kUnroll - 1) * step < vectors; i += kUnroll * step) {
    uint4 loaded[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) loaded[u] = __ldcs(memory + i + u * step);
#pragma unroll
    for (const uint4& each : loaded) bits ^= each.x ^ each.y ^ each.z ^ each.w;
  }
  for (; i < vectors; i += step) {
    const uint4 loaded = __ldcs(memory + i);
    bits ^= loaded.x ^ loaded.y ^ loaded.z ^ loaded.w;
  }
  if (bits != 0) atomicXor(result, bits);
}

}  // namespace

int32_t LaunchMask(const MaskArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Mask, GridFor(a->tiles, Work::kStream), stream, *a);
  return LastFailure();
}

int32_t LaunchPack(const PackArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Pack, GridFor(a->tiles, Work::kStream), stream, *a);
  return LastFailure();
}

// `bytes` a multiple of 16.
int32_t LaunchRead(const void* memory, int64_t bytes, uint32_t* result, Stream stream) {
  const Tiles as_tiles = {nullptr, nullptr, 0, 0, (bytes / 16 + kThreads - 1) / kThreads};
  SECATEUR_LAUNCH(Read, GridFor(as_tiles, Work::kStream), stream, static_cast<const uint4*>(memory),
                  bytes / 16, result);
  return LastFailure();
}

}  // namespace secateur::cuda
