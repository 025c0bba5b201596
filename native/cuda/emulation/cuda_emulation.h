// CUDA on the CPU, as much of it as native/cuda uses: kernels compiled by an ordinary compiler run
// one block after another, each thread on a stack of its own, and change over where they wait for
// each other. So the kernels' own text is tested where there is no GPU. A barrier that not all
// threads reach ends the program, and threads take turns in another order in every block, so that a
// missing barrier shows. Not: memory ordering, and nothing about time. Tests only.
#ifndef SECATEUR_CUDA_EMULATION_H_
#define SECATEUR_CUDA_EMULATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>

// CUDA's names are reserved ones.
// NOLINTBEGIN(bugprone-reserved-identifier)
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
// Arguments are copied now, and the kernel runs when its stream does.
#define SECATEUR_LAUNCH(kernel, grid, stream, ...)                              \
  ::secateur::emulation::Enqueue(                                               \
      (stream), [blocks = (grid), arguments = std::tuple(__VA_ARGS__)] {        \
        ::secateur::emulation::Launch(blocks, ::secateur::cuda::kThreads, [&] { \
          std::apply([](const auto&... each) { kernel(each...); }, arguments);  \
        });                                                                     \
      })

struct Dim3 {
  unsigned x;
};
struct uint4 {
  alignas(16) uint32_t x;
  uint32_t y;
  uint32_t z;
  uint32_t w;
};
struct float4 {
  alignas(16) float x;
  float y;
  float z;
  float w;
};

namespace secateur::emulation {

// Of the thread that runs.
extern Dim3 thread_index, block_index, block_size, grid_size;

void Launch(unsigned grid, unsigned threads, const std::function<void()>& kernel);

// Puts work at the end of a stream; without a stream it is done at once.
void Enqueue(void* stream, std::function<void()> work);

void WaitForBlock();
// Gives each lane the values of all 32 of its warp; waits for them.
const uint64_t* Exchange(uint64_t mine);

template <class T>
uint64_t Pack(T value) {
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T Unpack(uint64_t bits) {
  T value;
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
inline unsigned LaneIndex() { return thread_index.x % 32; }

}  // namespace secateur::emulation

#define threadIdx ::secateur::emulation::thread_index
#define blockIdx ::secateur::emulation::block_index
#define blockDim ::secateur::emulation::block_size
#define gridDim ::secateur::emulation::grid_size

inline void __syncthreads() { ::secateur::emulation::WaitForBlock(); }
inline void __syncwarp() { ::secateur::emulation::Exchange(0); }

template <class T>
T __shfl_up_sync(unsigned, T value, unsigned distance) {
  const uint64_t* all = ::secateur::emulation::Exchange(::secateur::emulation::Pack(value));
  const unsigned lane = ::secateur::emulation::LaneIndex();
  return ::secateur::emulation::Unpack<T>(all[lane < distance ? lane : lane - distance]);
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned distance, unsigned width = 32) {
  const uint64_t* all = ::secateur::emulation::Exchange(::secateur::emulation::Pack(value));
  const unsigned lane = ::secateur::emulation::LaneIndex();
  const bool inside = lane % width + distance < width;
  return ::secateur::emulation::Unpack<T>(all[inside ? lane + distance : lane]);
}
inline unsigned __ballot_sync(unsigned, bool condition) {
  const uint64_t* all = ::secateur::emulation::Exchange(condition ? 1 : 0);
  unsigned bits = 0;
  for (int lane = 0; lane < 32; ++lane) bits |= static_cast<unsigned>(all[lane]) << lane;
  return bits;
}
inline unsigned __reduce_add_sync(unsigned, unsigned value) {
  const uint64_t* all = ::secateur::emulation::Exchange(value);
  unsigned sum = 0;
  for (int lane = 0; lane < 32; ++lane) sum += static_cast<unsigned>(all[lane]);
  return sum;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

// One thread runs at a time.
template <class T>
T atomicAdd(T* at, T value) {
  const T old = *at;
  *at += value;
  return old;
}
template <class T>
T atomicXor(T* at, T value) {
  const T old = *at;
  *at ^= value;
  return old;
}

template <class T>
T __ldcs(const T* at) {
  return *at;
}
template <class T>
void __stcs(T* at, T value) {
  *at = value;
}

// NOLINTEND(bugprone-reserved-identifier)

#endif  // SECATEUR_CUDA_EMULATION_H_
