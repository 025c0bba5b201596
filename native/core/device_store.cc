// A store's slots on a GPU, and the steps and projections over them. A slot is copied when it is
// needed and the store's own memory is the newer; see StoreMirror.
#include <array>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "core/device_group.h"
#include "core/device_memory.h"
#include "core/device_plan.h"
#include "core/staging.h"
#include "core/step_arguments.h"
#include "core/store_mirror.h"
#include "core/stretches.h"
#include "secateur/device.h"

namespace secateur {
namespace {

constexpr int64_t kStageBytes = int64_t{8} << 20;
static_assert(cuda::kSumStretch == kStretch && cuda::kSumBlock == kBlock);  // sums have one order

cuda::Bounds BoundsFrom(const TensorThreshold& threshold) {
  return {BoundOf(threshold.tie_begin), BoundOf(threshold.tie_end), threshold.tie_cut};
}

std::vector<cuda::Bounds> BoundsFrom(const std::vector<TensorThreshold>& thresholds) {
  std::vector<cuda::Bounds> bounds;
  for (const TensorThreshold& threshold : thresholds) bounds.push_back(BoundsFrom(threshold));
  return bounds;
}

// The tensors of a store cut into pieces of one length; those that have no part have no elements.
struct Tiling {
  Tiling(const SharedQueue& queue, const ParameterStore& store, Which which, int64_t length) {
    std::vector<cuda::Entry> listed;
    for (size_t t = 0; t < store.tensors().size(); ++t) {
      const StoreTensor& tensor = store.tensors()[t];
      const int64_t elements = Includes(which, tensor) ? tensor.count : 0;
      listed.push_back({store.Offset(t) * static_cast<int64_t>(sizeof(float)), elements, count, 0,
                        1, static_cast<int32_t>(DType::kFloat32), 0});
      count += (elements + length - 1) / length;
    }
    entries = Uploaded(queue, listed);
    entry_count = static_cast<int64_t>(listed.size());
  }

  cuda::Tiles All() const { return {nullptr, entries.As<cuda::Entry>(), entry_count, 0, count}; }

  DeviceBuffer entries;
  int64_t entry_count = 0;
  int64_t count = 0;
};

enum class State : uint8_t { kStale, kSame, kAhead };

// One array of a store, if it has been needed.
struct Copy {
  std::optional<DeviceBuffer> memory;
  State state = State::kStale;
};

class DeviceStore final : public StoreMirror {
 public:
  // The store must outlive this.
  DeviceStore(std::shared_ptr<const Device> device, ParameterStore& store)
      : device_(std::move(device)),
        store_(store),
        queue_(std::make_shared<const DeviceQueue>(*device_)),
        staging_(queue_, std::min(kStageBytes, std::max<int64_t>(Bytes(), 1))),
        tiles_(queue_, store, Which::kAll, cuda::kTile),
        stretches_(queue_, store, Which::kAll, cuda::kSumStretch),
        pruned_tiles_(queue_, store, Which::kPruned, cuda::kTile),
        pruned_stretches_(queue_, store, Which::kPruned, cuda::kSumStretch) {
    queue_->Wait();
  }

  const Device& device() const override { return *device_; }

  void BringHome(Slot slot) override {
    Copy& copy = CopyOf(slot);
    if (copy.state == State::kAhead) Download(slot);
    copy.state = State::kStale;
  }

  void TakeGradients() override {
    CopyOf(Slot::kGradients).state = State::kStale;  // views of them are held for good
    Current(Slot::kGradients);
  }

  double SumSquares() override {
    const DeviceBuffer sums(queue_, stretches_.count * static_cast<int64_t>(sizeof(double)));
    const DeviceBuffer switches = Switches();
    queue_->Run(queue_->api().norm,
                cuda::NormArgs{stretches_.All(), Current(Slot::kGradients), Mask(),
                               switches.As<cuda::StepSwitches>(), sums.As<double>()});
    return Sum(sums.As<double>(), stretches_.count);
  }

  void Step(const StepOptions& options, double clip) override;
  const Source& Next(const std::vector<TensorThreshold>& before) override;
  ProjectSums Project(const std::vector<TensorThreshold>& before,
                      const std::vector<TensorThreshold>& after) override;

 private:
  int64_t Bytes() const { return store_.PaddedElements() * static_cast<int64_t>(sizeof(float)); }
  Copy& CopyOf(Slot slot) { return copies_[static_cast<size_t>(slot)]; }

  float* Current(Slot slot) {
    Copy& copy = CopyOf(slot);
    if (!copy.memory) copy.memory.emplace(queue_, Bytes());
    if (copy.state == State::kStale) {
      staging_.Upload(copy.memory->As<std::byte>(),
                      reinterpret_cast<const std::byte*>(store_.Data(slot)), Bytes(), 0);
      copy.state = State::kSame;
    }
    return copy.memory->As<float>();
  }

  void Download(Slot slot) {
    staging_.Download(CopyOf(slot).memory->As<std::byte>(),
                      reinterpret_cast<std::byte*>(store_.Data(slot)), Bytes(), 0);
  }

  // A moment that the update uses, or that the mask has to zero; else null.
  float* Moment(Slot slot, bool used) {
    return used || (store_.HasMask() && store_.Has(slot)) ? Current(slot) : nullptr;
  }

  // Bytes of the mask and of the support, copied anew when either was written.
  const uint8_t* Mask() { return store_.HasMask() ? CurrentBytes().mask->As<uint8_t>() : nullptr; }
  const uint8_t* Support() {
    return store_.admm.by_support ? CurrentBytes().support->As<uint8_t>() : nullptr;
  }
  struct Marks {
    std::optional<DeviceBuffer> mask;
    std::optional<DeviceBuffer> support;
    int64_t revision = -1;
  };
  const Marks& CurrentBytes();

  DeviceBuffer Switches() const;

  template <class T>
  T Sum(const T* from, int64_t count) const {
    const std::vector<T> parts = Downloaded(*queue_, from, count);
    return std::accumulate(parts.begin(), parts.end(), T{});
  }

  std::shared_ptr<const Device> device_;
  ParameterStore& store_;
  SharedQueue queue_;
  Staging staging_;
  Tiling tiles_;
  Tiling stretches_;
  Tiling pruned_tiles_;
  Tiling pruned_stretches_;
  std::array<Copy, kSlots> copies_;
  Marks marks_;
  std::optional<DeviceBuffer> next_;
  std::optional<DeviceSource> next_source_;
};

const DeviceStore::Marks& DeviceStore::CurrentBytes() {
  if (marks_.revision == store_.mask_revision) return marks_;
  const auto copied = [&](std::optional<DeviceBuffer>& to, const uint8_t* from) {
    if (from == nullptr) return;
    if (!to) to.emplace(queue_, store_.PaddedElements());
    staging_.Upload(to->As<std::byte>(), reinterpret_cast<const std::byte*>(from),
                    store_.PaddedElements(), 0);
  };
  copied(marks_.mask, store_.MaskBytes());
  copied(marks_.support, store_.SupportBytes());
  marks_.revision = store_.mask_revision;
  return marks_;
}

DeviceBuffer DeviceStore::Switches() const {
  std::vector<cuda::StepSwitches> switches;
  const std::vector<TensorThreshold>& thresholds = store_.admm.thresholds;
  for (size_t t = 0; t < store_.tensors().size(); ++t) {
    const StoreTensor& tensor = store_.tensors()[t];
    const TensorThreshold threshold = thresholds.empty() ? TensorThreshold{} : thresholds[t];
    switches.push_back({BoundsFrom(threshold), tensor.prune, tensor.decay, store_.IsMasked(t)});
  }
  return Uploaded(queue_, switches);
}

void DeviceStore::Step(const StepOptions& options, double clip) {
  const bool adam = options.kind == OptimizerKind::kAdam;
  const bool momentum = !adam && options.momentum != 0;
  const DeviceBuffer switches = Switches();
  const cuda::StepArgs args = {tiles_.All(),
                               Current(Slot::kParameters),
                               Current(Slot::kGradients),
                               Moment(Slot::kFirstMoment, adam || momentum),
                               Moment(Slot::kSecondMoment, adam),
                               options.rho != 0 ? Current(Slot::kAdmm) : nullptr,
                               options.rho != 0 ? Support() : nullptr,
                               Mask(),
                               switches.As<cuda::StepSwitches>(),
                               adam       ? cuda::Update::kAdam
                               : momentum ? cuda::Update::kMomentum
                                          : cuda::Update::kPlain,
                               ScaleOf(options, clip),
                               static_cast<float>(options.l2),
                               ShrinkOf(options),
                               DecaysAfter(options),
                               static_cast<float>(options.rho),
                               static_cast<float>(store_.admm.dual),
                               MomentumOf(options),
                               AdamOf(options)};
  queue_->Run(queue_->api().step, args);
  if (args.m != nullptr) CopyOf(Slot::kFirstMoment).state = State::kAhead;
  if (args.v != nullptr) CopyOf(Slot::kSecondMoment).state = State::kAhead;
  Download(Slot::kParameters);  // waits
}

const Source& DeviceStore::Next(const std::vector<TensorThreshold>& before) {
  if (!next_) next_.emplace(queue_, Bytes());
  const DeviceBuffer bounds = Uploaded(queue_, BoundsFrom(before));
  queue_->Run(queue_->api().next,
              cuda::NextArgs{pruned_tiles_.All(), next_->As<float>(), Current(Slot::kParameters),
                             Current(Slot::kAdmm), bounds.As<cuda::Bounds>(),
                             static_cast<float>(store_.admm.dual)});
  queue_->Wait();  // selections read it on another stream
  return next_source_.emplace(queue_, next_->As<std::byte>());
}

ProjectSums DeviceStore::Project(const std::vector<TensorThreshold>& before,
                                 const std::vector<TensorThreshold>& after) {
  next_source_.reset();
  next_.reset();
  const int64_t count = pruned_stretches_.count;
  const DeviceBuffer bounds_before = Uploaded(queue_, BoundsFrom(before));
  const DeviceBuffer bounds_after = Uploaded(queue_, BoundsFrom(after));
  const DeviceBuffer sums(queue_, 2 * count * static_cast<int64_t>(sizeof(double)));
  const DeviceBuffer changed(queue_, count * static_cast<int64_t>(sizeof(int64_t)));
  auto* gap = sums.As<double>();
  queue_->Run(queue_->api().project,
              cuda::ProjectArgs{
                  pruned_stretches_.All(), Current(Slot::kAdmm), Current(Slot::kParameters),
                  bounds_before.As<cuda::Bounds>(), bounds_after.As<cuda::Bounds>(),
                  static_cast<float>(store_.admm.dual), gap, gap + count, changed.As<int64_t>()});
  CopyOf(Slot::kAdmm).state = State::kAhead;
  return {Sum(gap, count), Sum(gap + count, count), Sum(changed.As<int64_t>(), count)};
}

}  // namespace

void TrainOnDevice(ParameterStore& store, std::shared_ptr<const Device> device) {
  const std::scoped_lock lock(store.mutex);
  for (int slot = 0; slot < kSlots; ++slot) store.BringHome(static_cast<Slot>(slot));
  store.mirror.reset();
  if (device != nullptr) store.mirror = std::make_shared<DeviceStore>(std::move(device), store);
}

}  // namespace secateur
