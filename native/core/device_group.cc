#include "core/device_group.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/chunks.h"
#include "core/elements.h"
#include "core/parallel.h"
#include "secateur/error.h"

namespace secateur {
namespace {

// Large enough that a copy runs at full speed, small enough that the first begins soon.
constexpr int64_t kWindowBytes = int64_t{32} << 20;
constexpr int64_t kPieceBytes = int64_t{1} << 20;

const DeviceSource* OnDevice(const Tensor& tensor) {
  if (tensor.runs.size() != 1) return nullptr;
  return dynamic_cast<const DeviceSource*>(tensor.runs[0].source);
}

// One of two that take turns: while one is filled, the other is copied and worked on.
struct Stage {
  Stage(const Device& device, int64_t pinned_bytes, int64_t device_bytes)
      : queue(std::make_shared<const DeviceQueue>(device)),
        pinned(*queue, pinned_bytes),
        memory(queue, device_bytes) {
    queue->Check(queue->api().create_event(&copied), "an event");
  }
  // Pinned memory must outlive the copies that it takes part in.
  ~Stage() {
    queue->api().wait_stream(queue->stream());
    queue->api().destroy_event(copied);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  SharedQueue queue;
  PinnedBuffer pinned;
  DeviceBuffer memory;
  cuda::Event copied = nullptr;
  bool used = false;
};

}  // namespace

const std::byte* DeviceSource::Read(int64_t offset, int64_t bytes, std::byte* scratch) const {
  if (bytes == 0) return scratch;
  queue_->Check(queue_->api().download(scratch, memory_ + offset, bytes, queue_->stream()),
                "a copy from it");
  queue_->Wait();
  return scratch;
}

DeviceGroup::DeviceGroup(const Device& device, const PassContext& context)
    : device_(device),
      context_(context),
      queue_(std::make_shared<const DeviceQueue>(device)),
      layout_(LayOut(context.tensors)) {
  resident_ = FindResident();
  // A third of the memory stays for what passes store.
  const bool fits = !resident_ && layout_.bytes / 2 * 3 <= device.FreeBytes();
  if (fits) CopyAll();
  entries_ = Uploaded(queue_, layout_.entries);
}

// Offsets of tensors that are on the device already are their addresses.
bool DeviceGroup::FindResident() {
  for (const Tensor& tensor : context_.tensors) {
    if (OnDevice(tensor) == nullptr) return false;
  }
  for (size_t t = 0; t < context_.tensors.size(); ++t) {
    const Run& run = context_.tensors[t].runs[0];
    const std::byte* memory = OnDevice(context_.tensors[t])->memory() + run.offset;
    layout_.entries[t].offset = static_cast<int64_t>(reinterpret_cast<uintptr_t>(memory));
  }
  return true;
}

void DeviceGroup::CopyAll() {
  slab_ = DeviceBuffer(queue_, layout_.bytes);
  queue_->Wait();  // other streams may use it from now on
  Stream(slab_.As<std::byte>(), [](const cuda::Tiles&, cuda::Stream) {});
  for (cuda::Entry& entry : layout_.entries)
    entry.offset += static_cast<int64_t>(reinterpret_cast<uintptr_t>(slab_.As<std::byte>()));
  resident_ = true;
}

cuda::Tiles DeviceGroup::TilesAt(const std::byte* base, int64_t begin, int64_t end) const {
  return {base, entries_.As<cuda::Entry>(), static_cast<int64_t>(layout_.entries.size()), begin,
          end};
}

void DeviceGroup::ForTiles(const Body& body) const {
  queue_->Wait();
  if (!resident_) {
    Stream(nullptr, body);
    return;
  }
  if (context_.monitor) context_.monitor->ThrowIfCancelled();
  body(All(), queue_->stream());
  queue_->Wait();
  if (context_.monitor) context_.monitor->Advance(TotalBytes(context_.tensors));
}

void DeviceGroup::Fill(const DeviceWindow& window, std::byte* to) const {
  const std::vector<DevicePiece> pieces = PiecesOf(layout_, window, kPieceBytes);
  ParallelFor(context_.threads, static_cast<int64_t>(pieces.size()), [&](int64_t i, int) {
    const DevicePiece& piece = pieces[i];
    const Tensor& tensor = context_.tensors[piece.tensor];
    if (context_.monitor) context_.monitor->ThrowIfCancelled();
    std::byte* out = to + piece.offset;
    const std::byte* in = ReadElements(tensor, piece.first, piece.count, out);
    if (in != out)
      std::memcpy(out, in, static_cast<size_t>(piece.count * ElementBytes(tensor.dtype)));
  });
}

void DeviceGroup::Stream(std::byte* slab, const Body& body) const {
  const int64_t most = std::clamp(device_.FreeBytes() / 8, int64_t{64} << 10, kWindowBytes);
  const std::vector<DeviceWindow> windows = PlanWindows(layout_, most);
  int64_t largest = 0;
  for (const DeviceWindow& window : windows) largest = std::max(largest, window.bytes);
  std::array<std::unique_ptr<Stage>, 2> stages;
  for (auto& stage : stages)
    stage = std::make_unique<Stage>(device_, largest, slab == nullptr ? largest : 0);
  for (size_t w = 0; w < windows.size(); ++w) {
    const DeviceWindow& window = windows[w];
    Stage& stage = *stages[w % 2];
    const DeviceQueue& queue = *stage.queue;
    if (stage.used) queue.Check(queue.api().wait_event(stage.copied), "a copy to it");
    stage.used = true;
    Fill(window, stage.pinned.data());
    std::byte* base = slab != nullptr ? slab : stage.memory.As<std::byte>() - window.offset;
    queue.Check(
        queue.api().upload(base + window.offset, stage.pinned.data(), window.bytes, queue.stream()),
        "a copy to it");
    queue.Check(queue.api().record(stage.copied, queue.stream()), "a copy to it");
    body(TilesAt(base, window.begin, window.end), queue.stream());
    if (context_.monitor && slab == nullptr) context_.monitor->Advance(window.bytes);
  }
  for (const auto& stage : stages) stage->queue->Wait();
}

}  // namespace secateur
