// Tensors that stay on a GPU: one slab, laid out once; selections look at it through DeviceSource.
#include <algorithm>
#include <cstring>

#include "core/device_group.h"
#include "core/device_memory.h"
#include "core/device_plan.h"
#include "core/parallel.h"
#include "core/staging.h"
#include "secateur/device.h"
#include "secateur/error.h"

namespace secateur {
namespace {

constexpr int64_t kStageBytes = int64_t{32} << 20;
constexpr int64_t kPieceBytes = int64_t{1} << 20;

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

// A layout in windows that pinned buffers hold, and the pieces of tensors in each.
struct Windows {
  explicit Windows(const DeviceLayout& in)
      : layout(in), windows(PlanWindows(layout, kStageBytes)), spans(SpansOf(windows)) {}

  static std::vector<StagedSpan> SpansOf(const std::vector<DeviceWindow>& windows) {
    std::vector<StagedSpan> spans;
    for (const DeviceWindow& window : windows) spans.push_back({window.offset, window.bytes});
    return spans;
  }

  // Calls body(piece, bytes of an element) for the pieces of a window, by threads.
  template <class Body>
  void ForPieces(size_t window, int threads, const Body& body) const {
    const std::vector<DevicePiece> pieces = PiecesOf(layout, windows[window], kPieceBytes);
    ParallelFor(ThreadsFor(windows[window].bytes, threads), static_cast<int64_t>(pieces.size()),
                [&](int64_t i, int) {
                  const auto dtype = static_cast<DType>(layout.entries[pieces[i].tensor].dtype);
                  body(pieces[i], ElementBytes(dtype));
                });
  }

  // Copies what comes in a window to the tensors at `out`.
  Staging::Take TakerTo(const std::vector<std::byte*>& out) const {
    return [this, &out](size_t w, const std::byte* pinned) {
      ForPieces(w, 0, [&](const DevicePiece& piece, int64_t element) {
        std::memcpy(out[piece.tensor] + piece.first * element, pinned + piece.offset,
                    static_cast<size_t>(piece.count * element));
      });
    };
  }

  const DeviceLayout& layout;
  std::vector<DeviceWindow> windows;
  std::vector<StagedSpan> spans;
};

}  // namespace

class DeviceTensors::Memory {
 public:
  Memory(const Device& device, const std::vector<Tensor>& tensors)
      : queue(std::make_shared<const DeviceQueue>(device)),
        layout(LayOut(tensors)),
        slab(queue, layout.bytes),
        entries(Uploaded(queue, layout.entries)),
        source(queue, slab.As<std::byte>()),
        staging(queue, std::clamp<int64_t>(layout.bytes, 1, kStageBytes)) {
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
  Staging staging;
};

DeviceTensors::~DeviceTensors() = default;

DeviceTensors::DeviceTensors(std::shared_ptr<const Device> device,
                             const std::vector<MaskedTensor>& tensors,
                             const std::vector<double>& factors, const MaskOptions& options)
    : device_(std::move(device)) {
  tensors_ = Describe(tensors, factors);
  memory_ = std::make_unique<Memory>(*device_, tensors_);
  const Windows windows(memory_->layout);
  memory_->staging.Upload(
      memory_->slab.As<std::byte>(), windows.spans, [&](size_t w, std::byte* pinned) {
        if (options.monitor) options.monitor->ThrowIfCancelled();
        windows.ForPieces(w, options.threads, [&](const DevicePiece& piece, int64_t element) {
          const std::byte* from = tensors[piece.tensor].in + piece.first * element;
          std::memcpy(pinned + piece.offset, from, static_cast<size_t>(piece.count * element));
        });
      });
  memory_->queue->Wait();
  for (size_t t = 0; t < tensors_.size(); ++t) {
    tensors_[t].runs = {{&memory_->source, memory_->layout.entries[t].offset, memory_->BytesOf(t)}};
  }
}

std::vector<Selection> DeviceTensors::Select(SelectOptions options) const {
  const std::scoped_lock lock(mutex_);
  options.device = device_.get();
  return secateur::Select(tensors_, options);
}

// Masks by a selection's thresholds, and counts what is left.
class DeviceTensors::Masking {
 public:
  Masking(const DeviceTensors& tensors, const std::vector<TensorThreshold>& thresholds)
      : tensors_(tensors.tensors_),
        queue_(tensors.memory_->queue),
        bounds_(Uploaded(queue_, BoundsOf(thresholds))),
        nonzeros_(queue_, Count() * static_cast<int64_t>(sizeof(unsigned long long))) {
    nonzeros_.Zero();
  }

  // Queues it for some tiles; their results go to `out` as their weights lie from their base.
  void Run(const cuda::Tiles& tiles, std::byte* out) const {
    const cuda::MaskArgs args = {tiles, out, bounds_.As<cuda::Bounds>(),
                                 nonzeros_.As<unsigned long long>()};
    queue_->Run(queue_->api().mask, args);
  }

  // Of every tensor, when all of its tiles are done; waits.
  std::vector<int64_t> Zeros() const {
    std::vector<int64_t> zeros;
    const auto got = Downloaded(*queue_, nonzeros_.As<unsigned long long>(), Count());
    for (size_t t = 0; t < got.size(); ++t)
      zeros.push_back(tensors_[t].count - static_cast<int64_t>(got[t]));
    return zeros;
  }

 private:
  int64_t Count() const { return static_cast<int64_t>(tensors_.size()); }

  const std::vector<Tensor>& tensors_;
  const SharedQueue& queue_;
  DeviceBuffer bounds_;
  DeviceBuffer nonzeros_;  // [tensor]
};

std::vector<int64_t> DeviceTensors::Apply(const std::vector<TensorThreshold>& thresholds) {
  const std::scoped_lock lock(mutex_);
  const Masking masking(*this, thresholds);
  masking.Run(memory_->All(), memory_->slab.As<std::byte>());
  return masking.Zeros();
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
    const int64_t bytes = (tensors_[t].count + 7) / 8;
    if (bytes == 0) continue;
    queue->Check(queue->api().download(out[t], packed.As<uint32_t>() + first_word[t], bytes,
                                       queue->stream()),
                 "a copy from it");
  }
  queue->Wait();
}

void DeviceTensors::Download(const std::vector<std::byte*>& out) const {
  const std::scoped_lock lock(mutex_);
  const Windows windows(memory_->layout);
  const auto* slab = memory_->slab.As<std::byte>();
  memory_->staging.Download([&](size_t w) { return slab + windows.spans[w].offset; }, windows.spans,
                            windows.TakerTo(out));
}

// Window after window, so that little memory is needed for the results there.
std::vector<int64_t> DeviceTensors::DownloadMasked(const std::vector<TensorThreshold>& thresholds,
                                                   const std::vector<std::byte*>& out) const {
  const std::scoped_lock lock(mutex_);
  const Windows windows(memory_->layout);
  const Masking masking(*this, thresholds);
  const DeviceBuffer masked(memory_->queue, std::min(memory_->layout.bytes, kStageBytes));
  memory_->staging.Download(
      [&](size_t w) {
        const DeviceWindow& window = windows.windows[w];
        cuda::Tiles tiles = memory_->All();
        tiles.begin = window.begin;
        tiles.end = window.end;
        masking.Run(tiles, masked.As<std::byte>() - window.offset);
        return masked.As<std::byte>();
      },
      windows.spans, windows.TakerTo(out));
  return masking.Zeros();
}

}  // namespace secateur
