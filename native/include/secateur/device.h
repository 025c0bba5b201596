// GPUs: a library that is loaded when one is asked for, and tensors that stay on one. Every answer
// has the bits of the CPU's. Select (select.h) takes a device too, for weights that are elsewhere.
#ifndef SECATEUR_DEVICE_H_
#define SECATEUR_DEVICE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "secateur/mask.h"
#include "secateur/monitor.h"
#include "secateur/select.h"

namespace secateur {

namespace cuda {
struct Api;
}

struct DeviceFacts {
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int processors = 0;
  int driver = 0;   // 12040 is 12.4
  int runtime = 0;  // that the library was built with
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
};

// The first GPU that the process sees (CUDA_VISIBLE_DEVICES chooses), through a CUDA library. May
// be used from any thread.
class Device {
 public:
  // Throws Error CUDA, in one sentence: no such library, one of another version, no driver, no GPU.
  static std::shared_ptr<const Device> Open(const std::string& library);

  const DeviceFacts& facts() const { return facts_; }
  const cuda::Api& api() const { return api_; }

  // Memory that a call may take now.
  int64_t FreeBytes() const;

  // At most this much is taken for weights and for what is stored of them; larger groups are
  // streamed through it. 0: what is free. For tests, and for sharing a GPU.
  void LimitBytes(int64_t bytes) { limit_ = bytes; }

 private:
  Device(const cuda::Api& api, DeviceFacts facts) : api_(api), facts_(std::move(facts)) {}

  const cuda::Api& api_;  // the library stays loaded
  DeviceFacts facts_;
  int64_t limit_ = 0;
};

class ParameterStore;

// From now on OptimizerStep and AdmmProject over a store run on a GPU, with equal bits; null: here
// again. What they work on stays there: a step copies gradients there and parameters back, and
// other slots come back when ParameterStore::BringHome asks for them, as every call here does, and
// views of JavaScript's. Groups are projected by the CPU. Holds the store's mutex.
void TrainOnDevice(ParameterStore& store, std::shared_ptr<const Device> device);

class DeviceQueue;
class DeviceBuffer;

// Tensors in a GPU's memory: uploaded once, selected from and masked there any number of times. One
// call at a time runs, others wait.
class DeviceTensors {
 public:
  // Copies `in` of each tensor. Throws Error CUDA: out of memory, an element type that GPUs don't
  // take (float64); INVALID_OPTION when there are not as many factors.
  DeviceTensors(std::shared_ptr<const Device> device, const std::vector<MaskedTensor>& tensors,
                const std::vector<double>& factors, const MaskOptions& options);
  ~DeviceTensors();
  DeviceTensors(const DeviceTensors&) = delete;
  DeviceTensors& operator=(const DeviceTensors&) = delete;

  // As Select; `device` of the options is not looked at.
  std::vector<Selection> Select(SelectOptions options) const;

  // Zeroes what goes, in place. Returns the zeros (of either sign) of each tensor after it.
  std::vector<int64_t> Apply(const std::vector<TensorThreshold>& thresholds);

  // As PackMask, to memory of (count + 7) / 8 bytes a tensor.
  void Pack(const std::vector<TensorThreshold>& thresholds, const std::vector<uint8_t*>& out) const;

  // Copies every tensor to `out`.
  void Download(const std::vector<std::byte*>& out) const;
  // The same, zeroing what goes on the way; the tensors stay as they are. Returns zeros as Apply.
  std::vector<int64_t> DownloadMasked(const std::vector<TensorThreshold>& thresholds,
                                      const std::vector<std::byte*>& out) const;

  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Device& device() const { return *device_; }

 private:
  class Memory;
  class Masking;

  std::shared_ptr<const Device> device_;
  std::unique_ptr<Memory> memory_;
  std::vector<Tensor> tensors_;  // their sources are the memory
  mutable std::mutex mutex_;
};

}  // namespace secateur

#endif  // SECATEUR_DEVICE_H_
