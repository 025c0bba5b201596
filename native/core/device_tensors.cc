// Tensors that stay on a GPU: one slab, laid out once; selections look at it through DeviceSource.
#include <algorithm>
#include <cstring>

#include "core/chunks.h"
#include "core/device_group.h"
#include "core/device_memory.h"
#include "core/device_plan.h"
#include "core/parallel.h"
#include "secateur/device.h"
#include "secateur/error.h"

namespace secateur {
namespace {

constexpr int64_t kStageBytes = int64_t{32} << 20;

// The tensors as the caller has them; factors of all.
std::vector<Tensor> Describe(const std::vector<MaskedTensor>& tensors,
                             const std::vector<double>& factors) {
  if (factors.size() != tensors.size())
    throw Error("INVALID_OPTION", "Expected a factor for every tensor");
  std::vector<Tensor> described;
  for (size_t t = 0; t < tensors.size(); ++t) {
    described.push_back(
        {"tensor " + std::to_string(t), tensors[t].dtype, factors[t], tensors[t].count, {}});
  }
  return described;
}

std::vector<cuda::Bounds> BoundsOf(const std::vector<TensorThreshold>& thresholds) {
  std::vector<cuda::Bounds> bounds;
  for (const TensorThreshold& threshold : thresholds) {
    bounds.push_back({static_cast<uint32_t>(threshold.tie_begin),
                      static_cast<uint32_t>(threshold.tie_end), threshold.tie_cut});
  }
  return bounds;
}

}  // namespace

class DeviceTensors::Memory {
 public:
  Memory(const Device& device, const std::vector<Tensor>& tensors)
      : queue(std::make_shared<const DeviceQueue>(device)),
        layout(LayOut(tensors)),
        slab(queue, layout.bytes),
        entries(Uploaded(queue, layout.entries)),
        source(queue, slab.As<std::byte>()) {
    queue->Wait();  // other streams may use it from now on
  }

  cuda::Tiles All() const {
    return {slab.As<std::byte>(), entries.As<cuda::Entry>(),
            static_cast<int64_t>(layout.entries.size()), 0, layout.tiles};
  }
  int64_t BytesOf(size_t tensor) const {
    const cuda::Entry& entry = layout.entries[tensor];
    return entry.count * ElementBytes(static_cast<DType>(entry.dtype));
  }

  SharedQueue queue;
  DeviceLayout layout;
  DeviceBuffer slab;
  DeviceBuffer entries;
  DeviceSource source;
};

DeviceTensors::~DeviceTensors() = default;

DeviceTensors::DeviceTensors(std::shared_ptr<const Device> device,
                             const std::vector<MaskedTensor>& tensors,
                             const std::vector<double>& factors, const MaskOptions& options)
    : device_(std::move(device)) {
  tensors_ = Describe(tensors, factors);
  memory_ = std::make_unique<Memory>(*device_, tensors_);
  const DeviceQueue& queue = *memory_->queue;
  // Through pinned memory, since a copy from ordinary memory runs at a fraction of the speed.
  const PinnedBuffer stages[2] = {{queue, std::min(memory_->layout.bytes, kStageBytes)},
                                  {queue, std::min(memory_->layout.bytes, kStageBytes)}};
  const std::vector<DeviceWindow> windows = PlanWindows(memory_->layout, kStageBytes);
  for (size_t w = 0; w < windows.size(); ++w) {
    const DeviceWindow& window = windows[w];
    std::byte* stage = stages[w % 2].data();
    if (w >= 2) queue.Wait();
    const std::vector<DevicePiece> pieces = PiecesOf(memory_->layout, window, int64_t{1} << 20);
    ParallelFor(ThreadsFor(window.bytes, options.threads), static_cast<int64_t>(pieces.size()),
                [&](int64_t i, int) {
                  const auto& [tensor, first, count, offset] = pieces[i];
                  const int64_t element = ElementBytes(tensors[tensor].dtype);
                  std::memcpy(stage + offset, tensors[tensor].in + first * element,
                              static_cast<size_t>(count * element));
                });
    if (options.monitor) options.monitor->ThrowIfCancelled();
    queue.Check(queue.api().upload(memory_->slab.As<std::byte>() + window.offset, stage,
                                   window.bytes, queue.stream()),
                "a copy to it");
  }
  queue.Wait();
  for (size_t t = 0; t < tensors_.size(); ++t) {
    tensors_[t].runs = {{&memory_->source, memory_->layout.entries[t].offset, memory_->BytesOf(t)}};
  }
}

std::vector<Selection> DeviceTensors::Select(SelectOptions options) const {
  const std::scoped_lock lock(mutex_);
  options.device = device_.get();
  return secateur::Select(tensors_, options);
}

std::vector<int64_t> DeviceTensors::MaskInto(const std::vector<TensorThreshold>& thresholds,
                                             std::byte* out) const {
  const SharedQueue& queue = memory_->queue;
  const DeviceBuffer bounds = Uploaded(queue, BoundsOf(thresholds));
  const auto count = static_cast<int64_t>(tensors_.size());
  const DeviceBuffer nonzeros(queue, count * static_cast<int64_t>(sizeof(unsigned long long)));
  nonzeros.Zero();
  const cuda::MaskArgs args = {memory_->All(), out, bounds.As<cuda::Bounds>(),
                               nonzeros.As<unsigned long long>()};
  queue->Run(queue->api().mask, args);
  std::vector<int64_t> zeros;
  const auto got = Downloaded(*queue, nonzeros.As<unsigned long long>(), count);
  for (size_t t = 0; t < got.size(); ++t)
    zeros.push_back(tensors_[t].count - static_cast<int64_t>(got[t]));
  return zeros;
}

std::vector<int64_t> DeviceTensors::Apply(const std::vector<TensorThreshold>& thresholds) {
  const std::scoped_lock lock(mutex_);
  return MaskInto(thresholds, memory_->slab.As<std::byte>());
}

void DeviceTensors::Pack(const std::vector<TensorThreshold>& thresholds,
                         const std::vector<uint8_t*>& out) const {
  const std::scoped_lock lock(mutex_);
  const SharedQueue& queue = memory_->queue;
  const DeviceBuffer bounds = Uploaded(queue, BoundsOf(thresholds));
  std::vector<int64_t> first_word;
  int64_t words = 0;
  for (const Tensor& tensor : tensors_) {
    first_word.push_back(words);
    words += (tensor.count + 31) / 32;
  }
  const DeviceBuffer device_first = Uploaded(queue, first_word);
  const DeviceBuffer packed(queue, words * 4);
  const cuda::PackArgs args = {memory_->All(), bounds.As<cuda::Bounds>(),
                               device_first.As<int64_t>(), packed.As<uint32_t>()};
  queue->Run(queue->api().pack, args);
  for (size_t t = 0; t < tensors_.size(); ++t) {
    const int64_t bytes = (tensors_[t].count + 31) / 32 * 4;
    if (bytes == 0) continue;
    queue->Check(queue->api().download(out[t], packed.As<uint32_t>() + first_word[t], bytes,
                                       queue->stream()),
                 "a copy from it");
  }
  queue->Wait();
}

void DeviceTensors::DownloadFrom(const std::byte* memory,
                                 const std::vector<std::byte*>& out) const {
  const DeviceQueue& queue = *memory_->queue;
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (memory_->BytesOf(t) == 0) continue;
    queue.Check(queue.api().download(out[t], memory + memory_->layout.entries[t].offset,
                                     memory_->BytesOf(t), queue.stream()),
                "a copy from it");
  }
  queue.Wait();
}

void DeviceTensors::Download(const std::vector<std::byte*>& out) const {
  const std::scoped_lock lock(mutex_);
  DownloadFrom(memory_->slab.As<std::byte>(), out);
}

std::vector<int64_t> DeviceTensors::DownloadMasked(const std::vector<TensorThreshold>& thresholds,
                                                   const std::vector<std::byte*>& out) const {
  const std::scoped_lock lock(mutex_);
  const DeviceBuffer masked(memory_->queue, memory_->layout.bytes);
  std::vector<int64_t> zeros = MaskInto(thresholds, masked.As<std::byte>());
  DownloadFrom(masked.As<std::byte>(), out);
  return zeros;
}

}  // namespace secateur
