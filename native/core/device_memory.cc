#include "core/device_memory.h"

#include <string>
#include <utility>

#include "secateur/error.h"

namespace secateur {

DeviceQueue::DeviceQueue(const Device& device) : api_(device.api()) {
  Check(api_.create_stream(&stream_), "a stream");
}

DeviceQueue::~DeviceQueue() {
  api_.wait_stream(stream_);
  api_.destroy_stream(stream_);
}

void DeviceQueue::Check(int32_t failure, const char* what) const {
  if (failure == 0) return;
  throw Error("CUDA", std::string("Expected the GPU to do ") + what + ", got \"" +
                          api_.message(failure) + "\"; use the CPU, or free the GPU");
}

void DeviceQueue::Wait() const { Check(api_.wait_stream(stream_), "its work"); }

DeviceBuffer::DeviceBuffer(SharedQueue queue, int64_t bytes)
    : queue_(std::move(queue)), bytes_(bytes) {
  queue_->Check(queue_->api().allocate(bytes, queue_->stream(), &memory_), "an allocation");
}

DeviceBuffer::~DeviceBuffer() {
  if (memory_ != nullptr) queue_->api().release(memory_, queue_->stream());
}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : queue_(std::move(other.queue_)),
      memory_(std::exchange(other.memory_, nullptr)),
      bytes_(other.bytes_) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(queue_, other.queue_);
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void DeviceBuffer::Zero() const {
  queue_->Check(queue_->api().zero(memory_, bytes_, queue_->stream()), "a fill");
}

PinnedBuffer::PinnedBuffer(const DeviceQueue& queue, int64_t bytes) : api_(queue.api()) {
  queue.Check(api_.allocate_pinned(bytes, &memory_), "an allocation");
}

PinnedBuffer::~PinnedBuffer() { api_.release_pinned(memory_); }

}  // namespace secateur
