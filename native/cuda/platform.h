// CUDA by nvcc, or its emulation on the CPU, and what is tuned by the generation of the GPU.
#ifndef SECATEUR_CUDA_PLATFORM_H_
#define SECATEUR_CUDA_PLATFORM_H_

#include <cstdint>

#if defined(SECATEUR_CUDA_EMULATED)
#include "cuda/emulation/cuda_emulation.h"
#include "cuda/emulation/cuda_runtime_emulation.h"
#else
#include <cuda_runtime.h>
#define SECATEUR_LAUNCH(kernel, grid, stream, ...) \
  kernel<<<(grid), ::secateur::cuda::kThreads, 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#endif

namespace secateur::cuda {

inline constexpr int kThreads = 256;  // of a block
inline constexpr int kWarp = 32;
inline constexpr int kWarps = kThreads / kWarp;
inline constexpr unsigned kAllLanes = 0xffffffff;

// Blocks a processor that a launch asks for. Each takes a run of neighbouring tiles, so more blocks
// than fit at once would only add ends. Not measured yet: nothing here has met a GPU.
struct Tuning {
  int capability;  // at least: 10 * major + minor
  int select_blocks;
  int stream_blocks;  // of kernels that read and write
};
inline constexpr Tuning kTunings[] = {{100, 4, 8}, {90, 4, 8}, {89, 4, 6}, {80, 4, 8}, {0, 4, 6}};

constexpr Tuning TuningFor(int major, int minor) {
  for (const Tuning& tuning : kTunings) {
    if (10 * major + minor >= tuning.capability) return tuning;
  }
  return kTunings[0];
}

}  // namespace secateur::cuda

#endif  // SECATEUR_CUDA_PLATFORM_H_
