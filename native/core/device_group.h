// The weights of a group where kernels can read them: already on the device, copied there once, or,
// where they don't fit, streamed through it in every pass.
#ifndef SECATEUR_CORE_DEVICE_GROUP_H_
#define SECATEUR_CORE_DEVICE_GROUP_H_

#include <functional>
#include <optional>
#include <vector>

#include "core/class_pass.h"
#include "core/device_memory.h"
#include "core/device_plan.h"

namespace secateur {

// Weights on a device as a source: what is read of them is copied to the reader.
class DeviceSource final : public Source {
 public:
  DeviceSource(SharedQueue queue, const std::byte* memory)
      : queue_(std::move(queue)), memory_(memory) {}
  const std::byte* Read(int64_t offset, int64_t bytes, std::byte* scratch) const override;
  const std::byte* memory() const { return memory_; }

 private:
  SharedQueue queue_;
  const std::byte* memory_;
};

class DeviceGroup {
 public:
  DeviceGroup(const Device& device, const PassContext& context);

  const PassContext& context() const { return context_; }
  const SharedQueue& queue() const { return queue_; }
  const DeviceLayout& layout() const { return layout_; }

  // Whether all weights are on the device at once.
  bool resident() const { return resident_; }
  // All tiles. Their weights can be read if `resident()`.
  cuda::Tiles All() const { return TilesAt(nullptr, 0, layout_.tiles); }
  cuda::Tiles All(const std::byte* base) const { return TilesAt(base, 0, layout_.tiles); }

  // Calls queue(tiles, stream) for stretches of tiles that together are all and whose weights can
  // be read by what it puts on that stream; returns when that is done. Counts progress, and throws
  // ABORTED.
  using Body = std::function<void(const cuda::Tiles&, cuda::Stream)>;
  void ForTiles(const Body& body) const;

  // Memory for what a pass stores.
  int64_t FreeBytes() const { return device_.FreeBytes(); }

 private:
  cuda::Tiles TilesAt(const std::byte* base, int64_t begin, int64_t end) const;
  bool FindResident();
  void CopyAll();
  // Copies windows through two pinned buffers: to where the layout says below `slab`, or, without
  // one, to a buffer beside each; then calls the body.
  void Stream(std::byte* slab, const Body& body) const;
  void Fill(const DeviceWindow& window, std::byte* to) const;

  const Device& device_;
  const PassContext& context_;
  SharedQueue queue_;
  DeviceLayout layout_;
  bool resident_ = false;
  DeviceBuffer slab_;
  DeviceBuffer entries_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_DEVICE_GROUP_H_
