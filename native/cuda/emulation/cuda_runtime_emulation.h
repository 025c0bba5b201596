// The runtime's calls that runtime.cu uses, for a GPU that is this processor: memory is memory.
// Work on a stream is done as late as CUDA allows, when the stream or an event behind it is waited
// for, so that whoever forgets to wait, or reuses memory that a copy still needs, shows.
// In the environment, SECATEUR_EMULATED_GPUS=0 is a machine without a GPU, SECATEUR_EMULATED_BYTES
// one with that much memory instead of a gibibyte.
#ifndef SECATEUR_CUDA_RUNTIME_EMULATION_H_
#define SECATEUR_CUDA_RUNTIME_EMULATION_H_

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorNoDevice = 100 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor
};
enum cudaMemPoolAttr {
  cudaMemPoolAttrReleaseThreshold,
  cudaMemPoolAttrReservedMemCurrent,
  cudaMemPoolAttrUsedMemCurrent
};
using cudaStream_t = void*;
using cudaMemPool_t = void*;
// Of one host thread at a time, as this library uses streams.
struct EmulatedStream {
  std::deque<std::function<void()>> work;

  void RunOne() {
    const std::function<void()> next = std::move(work.front());
    work.pop_front();
    next();
  }
  void RunAll() {
    while (!work.empty()) RunOne();
  }
};
struct EmulatedEvent {
  std::chrono::steady_clock::time_point at;
  EmulatedStream* stream = nullptr;
  bool done = true;
};
// Pinned memory by its address, with its length.
struct EmulatedPinned {
  std::mutex mutex;
  std::map<const char*, size_t> ranges;

  bool Holds(const void* memory) {
    const std::scoped_lock lock(mutex);
    const auto* at = static_cast<const char*>(memory);
    auto after = ranges.upper_bound(at);
    return after != ranges.begin() && at < (--after)->first + after->second;
  }
};
inline EmulatedPinned& AllEmulatedPinned() {
  static EmulatedPinned pinned;
  return pinned;
}
using cudaEvent_t = EmulatedEvent*;
struct cudaDeviceProp {
  char name[256];
  int major;
  int minor;
  int multiProcessorCount;
  size_t totalGlobalMem;
};
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline size_t EmulatedBytes() {
  const char* bytes = std::getenv("SECATEUR_EMULATED_BYTES");
  return bytes != nullptr ? static_cast<size_t>(std::atoll(bytes)) : size_t{1} << 30;
}
inline std::atomic<size_t>& EmulatedBytesUsed() {
  static std::atomic<size_t> used{0};
  return used;
}

inline const char* cudaGetErrorString(cudaError_t failure) {
  switch (failure) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
  }
  return "unknown error";
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  const char* gpus = std::getenv("SECATEUR_EMULATED_GPUS");
  *count = gpus != nullptr ? std::atoi(gpus) : 1;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int) {
  *out = {"emulated GPU", 8, 0, 2, EmulatedBytes()};
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* out, cudaDeviceAttr attribute, int) {
  *out = attribute == cudaDevAttrMultiProcessorCount      ? 2
         : attribute == cudaDevAttrComputeCapabilityMajor ? 8
                                                          : 0;
  return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = 0;
  return cudaSuccess;
}
inline cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 0;
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  *total = EmulatedBytes();
  *available = *total - std::min(*total, EmulatedBytesUsed().load());
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}
inline cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) {
  std::memset(value, 0, sizeof(uint64_t));
  return cudaSuccess;
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream{};
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  static_cast<EmulatedStream*>(stream)->RunAll();
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cudaStreamSynchronize(stream);
  delete static_cast<EmulatedStream*>(stream);
  return cudaSuccess;
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new EmulatedEvent{};
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = static_cast<EmulatedStream*>(stream);
  event->done = false;
  secateur::emulation::Enqueue(stream, [event] {
    event->at = std::chrono::steady_clock::now();
    event->done = true;
  });
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  while (!event->done) event->stream->RunOne();
  return cudaSuccess;
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(end->at - begin->at).count();
  return cudaSuccess;
}

// Filled with what is no number and no small count, so that reading what was never written shows.
inline void* EmulatedMemory(size_t bytes) {
  constexpr size_t kLine = 256;
  void* memory = std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine);
  if (memory != nullptr) std::memset(memory, 0xfb, bytes);
  return memory;
}
inline cudaError_t cudaMallocAsync(void** out, size_t bytes, cudaStream_t) {
  const bool fits =
      bytes <= EmulatedBytes() - std::min(EmulatedBytes(), EmulatedBytesUsed().load());
  *out = fits ? EmulatedMemory(bytes) : nullptr;
  if (*out == nullptr) return cudaErrorMemoryAllocation;
  EmulatedBytesUsed() += malloc_usable_size(*out);
  return cudaSuccess;
}
inline cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  secateur::emulation::Enqueue(stream, [memory] {
    EmulatedBytesUsed() -= malloc_usable_size(memory);
    std::free(memory);
  });
  return cudaSuccess;
}
inline cudaError_t cudaMallocHost(void** out, size_t bytes) {
  *out = EmulatedMemory(bytes);
  EmulatedPinned& pinned = AllEmulatedPinned();
  const std::scoped_lock lock(pinned.mutex);
  if (*out != nullptr) pinned.ranges[static_cast<const char*>(*out)] = bytes;
  return *out != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFreeHost(void* memory) {
  EmulatedPinned& pinned = AllEmulatedPinned();
  const std::scoped_lock lock(pinned.mutex);
  pinned.ranges.erase(static_cast<const char*>(memory));
  std::free(memory);
  return cudaSuccess;
}
// From ordinary memory the bytes are taken at once; to it, the call waits.
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream) {
  if (kind == cudaMemcpyHostToDevice && !AllEmulatedPinned().Holds(from)) {
    const auto* begin = static_cast<const char*>(from);
    secateur::emulation::Enqueue(stream, [to, taken = std::vector<char>(begin, begin + bytes)] {
      std::memcpy(to, taken.data(), taken.size());
    });
    return cudaSuccess;
  }
  secateur::emulation::Enqueue(stream, [=] { std::memmove(to, from, bytes); });
  if (kind == cudaMemcpyDeviceToHost && !AllEmulatedPinned().Holds(to))
    cudaStreamSynchronize(stream);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  secateur::emulation::Enqueue(stream, [=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}

#endif  // SECATEUR_CUDA_RUNTIME_EMULATION_H_
