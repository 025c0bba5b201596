// Streams and memory of a GPU that free themselves, and calls whose failures are thrown.
#ifndef SECATEUR_CORE_DEVICE_MEMORY_H_
#define SECATEUR_CORE_DEVICE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/api.h"
#include "secateur/device.h"

namespace secateur {

// A stream of work in order.
class DeviceQueue {
 public:
  explicit DeviceQueue(const Device& device);
  ~DeviceQueue();
  DeviceQueue(const DeviceQueue&) = delete;
  DeviceQueue& operator=(const DeviceQueue&) = delete;

  const cuda::Api& api() const { return api_; }
  cuda::Stream stream() const { return stream_; }

  // Throws Error CUDA for a failure of a call, with what it was about.
  void Check(int32_t failure, const char* what) const;
  // Waits for all work; failures of kernels are thrown here.
  void Wait() const;

  template <class Args>
  void Run(int32_t (*launch)(const Args*, cuda::Stream), const Args& args) const {
    Check(launch(&args, stream_), "a kernel");
  }

 private:
  const cuda::Api& api_;
  cuda::Stream stream_ = nullptr;
};

using SharedQueue = std::shared_ptr<const DeviceQueue>;

// Memory on the device, freed in the order of its queue.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(SharedQueue queue, int64_t bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;

  template <class T>
  T* As() const {
    return static_cast<T*>(memory_);
  }
  void Zero() const;

 private:
  SharedQueue queue_;
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

template <class T>
DeviceBuffer Uploaded(const SharedQueue& queue, const std::vector<T>& values) {
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
  DeviceBuffer buffer(queue, bytes);
  if (bytes > 0) {
    queue->Check(queue->api().upload(buffer.As<void>(), values.data(), bytes, queue->stream()),
                 "a copy to it");
  }
  return buffer;
}

// Waits.
template <class T>
std::vector<T> Downloaded(const DeviceQueue& queue, const T* from, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  const auto bytes = count * static_cast<int64_t>(sizeof(T));
  if (count > 0)
    queue.Check(queue.api().download(values.data(), from, bytes, queue.stream()), "a copy from it");
  queue.Wait();
  return values;
}

// Memory of the host's that copies run from beside other work.
class PinnedBuffer {
 public:
  PinnedBuffer(const DeviceQueue& queue, int64_t bytes);
  ~PinnedBuffer();
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(memory_); }

 private:
  const cuda::Api& api_;
  void* memory_ = nullptr;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_DEVICE_MEMORY_H_
