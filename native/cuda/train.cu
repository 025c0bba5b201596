// The kernels of training: a fused optimizer step, the norm of gradients, and ADMM's projection.
#include "cuda/kernels.h"
#include "cuda/platform.h"
#include "cuda/step_math.h"
#include "cuda/tiles.h"

namespace secateur::cuda {
namespace {

// Four neighbouring elements of one thread.
struct Quad {
  float at[4];
};

__device__ Quad LoadQuad(const float* from, int count) {
  Quad quad = {{0, 0, 0, 0}};
  if (count == 4) {
    const float4 vector = *reinterpret_cast<const float4*>(from);
    quad = {{vector.x, vector.y, vector.z, vector.w}};
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < count) quad.at[i] = from[i];
    }
  }
  return quad;
}

__device__ void StoreQuad(float* to, const Quad& quad, int count) {
  if (count == 4) {
    float4 vector;
    vector.x = quad.at[0];
    vector.y = quad.at[1];
    vector.z = quad.at[2];
    vector.w = quad.at[3];
    *reinterpret_cast<float4*>(to) = vector;
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < count) to[i] = quad.at[i];
    }
  }
}

// Elements [index, index + count) of a tensor; `at` is where they are in the store's arrays.
__device__ void StepQuad(const StepArgs& a, const StepSwitches& on, int64_t index, int64_t at,
                         int count) {
  const bool pulls = a.admm != nullptr && on.prune;
  const bool masks = a.keep != nullptr && on.masked;
  Quad w = LoadQuad(a.w + at, count);
  const Quad g = LoadQuad(a.g + at, count);
  Quad m = {{0, 0, 0, 0}};
  Quad v = {{0, 0, 0, 0}};
  Quad admm = {{0, 0, 0, 0}};
  if (a.m != nullptr) m = LoadQuad(a.m + at, count);
  if (a.v != nullptr) v = LoadQuad(a.v + at, count);
  if (pulls) admm = LoadQuad(a.admm + at, count);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const bool keep = !masks || i >= count || a.keep[at + i] != 0;
    const bool kept = pulls && (a.support == nullptr ? Keeps(on.admm, KeyOf(admm.at[i]), index + i)
                                                     : i >= count || a.support[at + i] != 0);
    Element x = {w.at[i], g.at[i], m.at[i], v.at[i], admm.at[i], kept, keep};
    StepElement(a, on, x);
    w.at[i] = x.w;
    m.at[i] = x.m;
    v.at[i] = x.v;
  }
  StoreQuad(a.w + at, w, count);
  if (a.m != nullptr) StoreQuad(a.m + at, m, count);
  if (a.v != nullptr) StoreQuad(a.v + at, v, count);
}

__global__ void __launch_bounds__(kThreads, 4) Step(StepArgs a) {
  TileWalk walk(a.tiles, kTile);
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  for (int64_t tile = ShareBegin(a.tiles, blockIdx.x, gridDim.x); tile < end; ++tile) {
    const Tile at = walk.At(tile);
    const StepSwitches on = a.switches[at.entry];
    const int64_t origin = a.tiles.entries[at.entry].offset / 4 + at.first;
    for (int i = 4 * static_cast<int>(threadIdx.x); i < at.count; i += 4 * kThreads) {
      const int count = at.count - i < 4 ? at.count - i : 4;
      StepQuad(a, on, at.first + i, origin + i, count);
    }
  }
}

constexpr int kLanes = 16;                                        // that sum a block
constexpr int kTeams = kThreads / kLanes;                         // blocks summed at once
constexpr int kSums = static_cast<int>(kSumStretch / kSumBlock);  // blocks of a stretch

// The sixteen sums of a block, pairwise, as SumSquares adds them up; lane 0 has the result.
__device__ double SumLanes(double sum) {
  for (unsigned width = kLanes / 2; width > 0; width /= 2)
    sum += __shfl_down_sync(kAllLanes, sum, width, kLanes);
  return sum;
}

// body(block of the stretch, its first element within the tile, its count) by teams of sixteen
// lanes; every lane of the warp calls it as often.
template <class Body>
__device__ void ForSumBlocks(const Tile& tile, const Body& body) {
  for (int block = static_cast<int>(threadIdx.x) / kLanes; block < kSums; block += kTeams) {
    const int first = block * static_cast<int>(kSumBlock);
    const int left = tile.count - first;
    const int count = left < kSumBlock ? left : static_cast<int>(kSumBlock);
    body(block, first, count > 0 ? count : 0);
  }
}

// In order, by one thread.
__device__ double SumBlocks(const double (&sums)[kSums], const Tile& tile) {
  double sum = 0;
  for (int block = 0; block * static_cast<int>(kSumBlock) < tile.count; ++block) sum += sums[block];
  return sum;
}

__global__ void Norm(NormArgs a) {
  __shared__ double sums[kSums];
  TileWalk walk(a.tiles, kSumStretch);
  const auto lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  for (int64_t stretch = ShareBegin(a.tiles, blockIdx.x, gridDim.x); stretch < end; ++stretch) {
    const Tile at = walk.At(stretch);
    const int64_t origin = a.tiles.entries[at.entry].offset / 4 + at.first;
    const bool masks = a.keep != nullptr && a.switches[at.entry].masked;
    ForSumBlocks(at, [&](int block, int first, int count) {
      double sum = 0;
      for (int i = lane; i < count; i += kLanes) {
        const int64_t index = origin + first + i;
        const float x = !masks || a.keep[index] != 0 ? a.x[index] : 0.0f;
        sum += static_cast<double>(x) * static_cast<double>(x);
      }
      sum = SumLanes(sum);
      if (lane == 0) sums[block] = sum;
    });
    __syncthreads();
    if (threadIdx.x == 0) a.sums[stretch] = SumBlocks(sums, at);
    __syncthreads();
  }
}

__global__ void Next(NextArgs a) {
  TileWalk walk(a.tiles, kTile);
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  for (int64_t tile = ShareBegin(a.tiles, blockIdx.x, gridDim.x); tile < end; ++tile) {
    const Tile at = walk.At(tile);
    const Bounds before = a.before[at.entry];
    const int64_t origin = a.tiles.entries[at.entry].offset / 4 + at.first;
    for (int i = static_cast<int>(threadIdx.x); i < at.count; i += kThreads) {
      const float v = a.v[origin + i];
      a.next[origin + i] =
          NextOf(a.w[origin + i], v, Keeps(before, KeyOf(v), at.first + i), a.dual);
    }
  }
}

struct Moves {
  double gap;
  double moved;
  unsigned changed;
};

// One element's part in a lane's sums.
__device__ void ProjectOne(const ProjectArgs& a, const Tile& tile, int64_t at, int64_t index,
                           Moves& moves) {
  const float w = a.w[at];
  const float old = a.v[at];
  const bool kept = Keeps(a.before[tile.entry], KeyOf(old), index);
  const float next = NextOf(w, old, kept, a.dual);
  const bool keeps = Keeps(a.after[tile.entry], KeyOf(next), index);
  const float z = keeps ? next : 0.0f;
  const float z_before = kept ? old : 0.0f;
  a.v[at] = next;
  const float gap = w - z;
  const float moved = z - z_before;
  moves.gap += static_cast<double>(gap) * static_cast<double>(gap);
  moves.moved += static_cast<double>(moved) * static_cast<double>(moved);
  if (kept != keeps) ++moves.changed;
}

__global__ void Project(ProjectArgs a) {
  __shared__ double gaps[kSums];
  __shared__ double moveds[kSums];
  __shared__ unsigned changed[kWarps];
  TileWalk walk(a.tiles, kSumStretch);
  const auto lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t end = ShareBegin(a.tiles, blockIdx.x + 1, gridDim.x);
  for (int64_t stretch = ShareBegin(a.tiles, blockIdx.x, gridDim.x); stretch < end; ++stretch) {
    const Tile at = walk.At(stretch);
    const int64_t origin = a.tiles.entries[at.entry].offset / 4 + at.first;
    unsigned mine = 0;
    ForSumBlocks(at, [&](int block, int first, int count) {
      Moves moves = {0, 0, 0};
      for (int i = lane; i < count; i += kLanes)
        ProjectOne(a, at, origin + first + i, at.first + first + i, moves);
      moves.gap = SumLanes(moves.gap);
      moves.moved = SumLanes(moves.moved);
      mine += moves.changed;
      if (lane == 0) gaps[block] = moves.gap;
      if (lane == 0) moveds[block] = moves.moved;
    });
    const unsigned sum = __reduce_add_sync(kAllLanes, mine);
    if (threadIdx.x % kWarp == 0) changed[threadIdx.x / kWarp] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      a.gap[stretch] = SumBlocks(gaps, at);
      a.moved[stretch] = SumBlocks(moveds, at);
      a.changed[stretch] = 0;
      for (unsigned part : changed) a.changed[stretch] += part;
    }
    __syncthreads();
  }
}

}  // namespace

int32_t LaunchStep(const StepArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Step, GridFor(a->tiles, Work::kStream), stream, *a);
  return LastFailure();
}

int32_t LaunchNorm(const NormArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Norm, GridFor(a->tiles, Work::kStream), stream, *a);
  return LastFailure();
}

int32_t LaunchNext(const NextArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Next, GridFor(a->tiles, Work::kStream), stream, *a);
  return LastFailure();
}

int32_t LaunchProject(const ProjectArgs* a, Stream stream) {
  SECATEUR_LAUNCH(Project, GridFor(a->tiles, Work::kStream), stream, *a);
  return LastFailure();
}

}  // namespace secateur::cuda
