// The library's table: memory, streams, events and launches over CUDA's runtime.
#include <algorithm>
#include <cstdio>

#include "cuda/kernels.h"
#include "cuda/platform.h"

namespace secateur::cuda {
namespace {

int32_t Number(cudaError_t failure) { return static_cast<int32_t>(failure); }
cudaStream_t Of(Stream stream) { return static_cast<cudaStream_t>(stream); }

// Asked for once: a launch must not wait for the driver.
struct Size {
  int processors = 1;
  Tuning tuning = TuningFor(0, 0);

  Size() {
    int major = 0;
    int minor = 0;
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    tuning = TuningFor(major, minor);
  }
};

const char* Message(int32_t failure) {
  return cudaGetErrorString(static_cast<cudaError_t>(failure));
}

// Freed memory stays with the process: asking the driver anew takes as long as a pass.
int32_t KeepMemory(cudaMemPool_t* pool) {
  const cudaError_t failure = cudaDeviceGetDefaultMemPool(pool, 0);
  if (failure != cudaSuccess) return Number(failure);
  uint64_t all = ~uint64_t{0};
  return Number(cudaMemPoolSetAttribute(*pool, cudaMemPoolAttrReleaseThreshold, &all));
}

int32_t Describe(DeviceInfo* out) {
  *out = {};
  int count = 0;
  cudaError_t failure = cudaGetDeviceCount(&count);
  cudaDeviceProp properties;
  if (failure == cudaSuccess) failure = cudaGetDeviceProperties(&properties, 0);
  int driver = 0;
  int runtime = 0;
  if (failure == cudaSuccess) failure = cudaDriverGetVersion(&driver);
  if (failure == cudaSuccess) failure = cudaRuntimeGetVersion(&runtime);
  if (failure != cudaSuccess) return Number(failure);
  std::snprintf(out->name, sizeof(out->name), "%s", properties.name);
  out->major = properties.major;
  out->minor = properties.minor;
  out->processors = properties.multiProcessorCount;
  out->driver = driver;
  out->runtime = runtime;
  out->total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  cudaMemPool_t pool;
  return KeepMemory(&pool);
}

// What the device has, and what this process has freed and kept.
int32_t FreeBytes(int64_t* out) {
  size_t available = 0;
  size_t total = 0;
  cudaError_t failure = cudaMemGetInfo(&available, &total);
  cudaMemPool_t pool;
  uint64_t reserved = 0;
  uint64_t used = 0;
  if (failure == cudaSuccess) failure = cudaDeviceGetDefaultMemPool(&pool, 0);
  if (failure == cudaSuccess)
    failure = cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved);
  if (failure == cudaSuccess)
    failure = cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used);
  *out = static_cast<int64_t>(available + (reserved - used));
  return Number(failure);
}

int32_t CreateStream(Stream* out) {
  cudaStream_t stream = nullptr;
  const cudaError_t failure = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  *out = stream;
  return Number(failure);
}
void DestroyStream(Stream stream) { cudaStreamDestroy(Of(stream)); }
int32_t WaitStream(Stream stream) { return Number(cudaStreamSynchronize(Of(stream))); }

int32_t CreateEvent(Event* out) {
  cudaEvent_t event = nullptr;
  const cudaError_t failure = cudaEventCreate(&event);
  *out = event;
  return Number(failure);
}
void DestroyEvent(Event event) { cudaEventDestroy(static_cast<cudaEvent_t>(event)); }
int32_t Record(Event event, Stream stream) {
  return Number(cudaEventRecord(static_cast<cudaEvent_t>(event), Of(stream)));
}
int32_t WaitEvent(Event event) {
  return Number(cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
}
int32_t Elapsed(Event begin, Event end, double* seconds) {
  float milliseconds = 0;
  const cudaError_t failure = cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(begin),
                                                   static_cast<cudaEvent_t>(end));
  *seconds = static_cast<double>(milliseconds) / 1000;
  return Number(failure);
}

int32_t Allocate(int64_t bytes, Stream stream, void** out) {
  return Number(cudaMallocAsync(out, static_cast<size_t>(std::max<int64_t>(bytes, 1)), Of(stream)));
}
void Release(void* memory, Stream stream) { cudaFreeAsync(memory, Of(stream)); }
int32_t AllocatePinned(int64_t bytes, void** out) {
  return Number(cudaMallocHost(out, static_cast<size_t>(std::max<int64_t>(bytes, 1))));
}
void ReleasePinned(void* memory) { cudaFreeHost(memory); }

int32_t Move(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind, Stream stream) {
  return Number(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, Of(stream)));
}
int32_t Upload(void* to, const void* from, int64_t bytes, Stream stream) {
  return Move(to, from, bytes, cudaMemcpyHostToDevice, stream);
}
int32_t Download(void* to, const void* from, int64_t bytes, Stream stream) {
  return Move(to, from, bytes, cudaMemcpyDeviceToHost, stream);
}
int32_t Copy(void* to, const void* from, int64_t bytes, Stream stream) {
  return Move(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}
int32_t Zero(void* memory, int64_t bytes, Stream stream) {
  return Number(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), Of(stream)));
}

constexpr Api kApi = {kAbi,          Message,        Describe,        FreeBytes,    CreateStream,
                      DestroyStream, WaitStream,     CreateEvent,     DestroyEvent, Record,
                      WaitEvent,     Elapsed,        Allocate,        Release,      AllocatePinned,
                      ReleasePinned, Upload,         Download,        Copy,         Zero,
                      LaunchSample,  LaunchClassify, LaunchHistogram, LaunchTally,  LaunchMask,
                      LaunchPack,    LaunchStep,     LaunchNorm,      LaunchNext,   LaunchProject,
                      LaunchRead};

}  // namespace

unsigned GridFor(const Tiles& tiles, Work work) {
  static const Size size;
  const int each = work == Work::kSelect ? size.tuning.select_blocks : size.tuning.stream_blocks;
  const int64_t most = static_cast<int64_t>(size.processors) * each;
  return static_cast<unsigned>(std::clamp<int64_t>(tiles.end - tiles.begin, 1, most));
}

int32_t LastFailure() { return Number(cudaGetLastError()); }

}  // namespace secateur::cuda

#if defined(_WIN32)
#define SECATEUR_EXPORT extern "C" __declspec(dllexport)
#else
#define SECATEUR_EXPORT extern "C" __attribute__((visibility("default")))
#endif

SECATEUR_EXPORT const secateur::cuda::Api* secateur_cuda_api(int32_t abi) {
  return abi == secateur::cuda::kAbi ? &secateur::cuda::kApi : nullptr;
}
