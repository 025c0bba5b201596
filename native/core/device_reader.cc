// A pass is one launch (one a window where the weights are streamed), the values of ranks two or
// three histograms of what it has stored, a tally one more launch; ties are cut here, in the one
// tile that the tally names. What a pass stores never leaves the device.
#include "core/device_reader.h"

#include <algorithm>

#include "core/device_group.h"
#include "core/elements.h"
#include "core/sample_places.h"
#include "secateur/error.h"

namespace secateur {
namespace {

// Enough for a bracket of a fiftieth of the weights, and sorted here in no time.
constexpr int64_t kMostSampled = int64_t{1} << 15;
constexpr int64_t kLeastStored = int64_t{1} << 20;  // keys

using Count = unsigned long long;

class DevicePass final : public ClassPass {
 public:
  DevicePass(const DeviceGroup& group, Cuts cuts)
      : ClassPass(std::move(cuts)),
        counts_(group.queue(), group.layout().tiles * CutCount() * 4),
        stores_(cuts_.StoreEdges() != 0) {
    const int64_t capacity = stores_ ? Capacity(group) : 0;
    if (stores_) {
      stored_ = DeviceBuffer(group.queue(), capacity * 4);
      segments_ = DeviceBuffer(group.queue(),
                               group.layout().tiles * static_cast<int64_t>(sizeof(cuda::Segment)));
    }
    Read(group, capacity);
  }

  int32_t CutCount() const { return static_cast<int32_t>(cuts_.values.size()); }
  const uint32_t* counts() const { return counts_.As<uint32_t>(); }
  const uint32_t* stored() const { return stored_.As<uint32_t>(); }
  const cuda::Segment* segments() const { return segments_.As<cuda::Segment>(); }

 private:
  static int64_t Capacity(const DeviceGroup& group) {
    const int64_t wanted = std::max(group.layout().elements / 4, kLeastStored);
    const int64_t room = std::max<int64_t>(group.FreeBytes() / 8, 4096);
    return std::min({group.layout().elements, wanted, room});
  }

  void Read(const DeviceGroup& group, int64_t capacity) {
    std::vector<uint32_t> bounds;
    for (const std::vector<uint64_t>& tensor : BoundsOf(group.context(), cuts_)) {
      for (uint64_t bound : tensor) bounds.push_back(static_cast<uint32_t>(bound));
    }
    const DeviceBuffer device_bounds = Uploaded(group.queue(), bounds);
    const auto totals_bytes = static_cast<int64_t>((totals_.size() + 1) * sizeof(Count));
    const DeviceBuffer totals(group.queue(), totals_bytes);  // and how many were stored
    totals.Zero();
    Count* next = totals.As<Count>() + totals_.size();
    group.ForTiles([&](const cuda::Tiles& tiles, cuda::Stream stream) {
      const cuda::ClassifyArgs args = {tiles,
                                       device_bounds.As<uint32_t>(),
                                       CutCount(),
                                       cuts_.StoreEdges(),
                                       counts_.As<uint32_t>(),
                                       totals.As<Count>(),
                                       stored_.As<uint32_t>(),
                                       capacity,
                                       next,
                                       segments_.As<cuda::Segment>()};
      group.queue()->Check(group.queue()->api().classify(&args, stream), "a kernel");
    });
    const std::vector<Count> got =
        Downloaded(*group.queue(), totals.As<Count>(), static_cast<int64_t>(totals_.size()) + 1);
    std::copy_n(got.begin(), totals_.size(), totals_.begin());
    stored_count_ = static_cast<int64_t>(got.back());
    overflowed_ = stored_count_ > capacity;
  }

  DeviceBuffer counts_;    // [tile][cut]
  DeviceBuffer stored_;    // keys
  DeviceBuffer segments_;  // [tile]
  bool stores_;
};

const DevicePass& Own(const ClassPass& pass) { return static_cast<const DevicePass&>(pass); }

class DeviceTallies final : public Tallies {
 public:
  DeviceTallies(const DeviceGroup& group, const std::vector<RankedWeight>& found)
      : group_(group), found_(found) {
    for (const RankedWeight& at : found) {
      tile_ties_.emplace_back(group.queue(), group.layout().tiles * 4);
      totals_.push_back(Run(at, tile_ties_.back()));
    }
  }

  Tally Of(size_t threshold, size_t tensor) const override {
    return {static_cast<int64_t>(totals_[threshold][2 * tensor]),
            static_cast<int64_t>(totals_[threshold][2 * tensor + 1])};
  }

  int64_t Cut(size_t threshold, size_t tensor, int64_t kept) const override {
    const cuda::Entry& entry = group_.layout().entries[tensor];
    const int64_t tiles = (entry.count + cuda::kTile - 1) / cuda::kTile;
    const std::vector<uint32_t> ties =
        Downloaded(*group_.queue(), tile_ties_[threshold].As<uint32_t>() + entry.first_tile, tiles);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      if (kept <= ties[tile]) return CutInTile(tensor, tile * cuda::kTile, threshold, kept);
      kept -= ties[tile];
    }
    ThrowChanged();
  }

 private:
  std::vector<Count> Run(const RankedWeight& at, const DeviceBuffer& tile_ties) const {
    const PassContext& context = group_.context();
    const DevicePass& pass = Own(*at.pass);
    const size_t j = at.class_index;
    std::vector<cuda::Marks> marks;
    for (const Tensor& tensor : context.tensors) {
      const auto key = [&](uint64_t value) {
        return static_cast<uint32_t>(context.domain.ToKey(tensor, value));
      };
      marks.push_back(
          {j == 0 ? 0 : key(pass.cuts().values[j - 1]), key(at.value), key(at.value + 1)});
    }
    const DeviceBuffer device_marks = Uploaded(group_.queue(), marks);
    const auto sums = static_cast<int64_t>(2 * marks.size());
    const DeviceBuffer tallies(group_.queue(), sums * static_cast<int64_t>(sizeof(Count)));
    tallies.Zero();
    const cuda::TallyArgs args = {group_.All(),
                                  pass.counts(),
                                  pass.CutCount(),
                                  static_cast<int32_t>(j),
                                  pass.cuts().stored[j] && !pass.overflowed(),
                                  pass.segments(),
                                  pass.stored(),
                                  device_marks.As<cuda::Marks>(),
                                  tile_ties.As<uint32_t>(),
                                  tallies.As<Count>()};
    group_.queue()->Run(group_.queue()->api().tally, args);
    return Downloaded(*group_.queue(), tallies.As<Count>(), sums);
  }

  int64_t CutInTile(size_t tensor, int64_t first, size_t threshold, int64_t kept) const {
    const PassContext& context = group_.context();
    const Tensor& at = context.tensors[tensor];
    const int64_t count = std::min(cuda::kTile, at.count - first);
    const KeyBuffer scratch(count * ElementBytes(at.dtype));
    const std::byte* elements = ReadElements(at, first, count, scratch.data());
    const uint64_t value = found_[threshold].value;
    return first + CutAmong(context.backend, at.dtype, elements, count,
                            context.domain.ToKey(at, value), context.domain.ToKey(at, value + 1),
                            kept);
  }

  const DeviceGroup& group_;
  const std::vector<RankedWeight>& found_;
  std::vector<DeviceBuffer> tile_ties_;     // [threshold][tile]
  std::vector<std::vector<Count>> totals_;  // [threshold][tensor][below, ties]
};

class DeviceReader final : public Reader {
 public:
  DeviceReader(const Device& device, const PassContext& context)
      : Reader(context), group_(device, context) {}

  Sample Take(int64_t count) const override {
    if (!group_.resident())
      return TakeSample(context().tensors, context().domain, count, context().threads);
    const int64_t size = std::min(SampleSize(count), kMostSampled);
    const int64_t value_bytes = ElementBytes(context().domain.dtype());
    const DeviceBuffer values(group_.queue(), size * value_bytes);
    const cuda::SampleArgs args = {group_.All(),
                                   group_.layout().elements,
                                   size / kSampleBlock,
                                   context().domain.uniform(),
                                   static_cast<int32_t>(value_bytes),
                                   values.As<void>()};
    group_.queue()->Run(group_.queue()->api().sample, args);
    Sample sample{KeyBuffer(size * value_bytes), size};
    group_.queue()->Check(
        group_.queue()->api().download(sample.buffer.data(), values.As<void>(), size * value_bytes,
                                       group_.queue()->stream()),
        "a copy from it");
    group_.queue()->Wait();
    return sample;
  }

  std::shared_ptr<const ClassPass> Pass(Cuts cuts) const override {
    return std::make_shared<const DevicePass>(group_, std::move(cuts));
  }

  std::vector<uint64_t> ValuesStored(const ClassPass& pass,
                                     const std::vector<StoredRank>& ranks) const override {
    std::vector<uint64_t> values;
    for (const StoredRank& rank : ranks) values.push_back(ValueOf(Own(pass), rank));
    return values;
  }

  std::unique_ptr<Tallies> TallyAll(const std::vector<RankedWeight>& found) const override {
    return std::make_unique<DeviceTallies>(group_, found);
  }

  [[noreturn]] void ThrowNonfinite(const ClassPass& pass) const override {
    const auto cuts = static_cast<int64_t>(pass.cuts().values.size());
    const std::vector<uint32_t> counts =
        Downloaded(*group_.queue(), Own(pass).counts(), group_.layout().tiles * cuts);
    for (size_t t = 0; t < context().tensors.size(); ++t) {
      const Tensor& tensor = context().tensors[t];
      int64_t tile = group_.layout().entries[t].first_tile;
      for (int64_t first = 0; first < tensor.count; first += cuda::kTile, ++tile) {
        if (counts[tile * cuts + cuts - 1] == 0) continue;
        const int64_t count = std::min(cuda::kTile, tensor.count - first);
        const KeyBuffer scratch(count * ElementBytes(tensor.dtype));
        ThrowIfNonfiniteIn(tensor, first, ReadElements(tensor, first, count, scratch.data()),
                           count);
      }
    }
    ThrowChanged();
  }

 private:
  uint64_t ValueOf(const DevicePass& pass, const StoredRank& rank) const {
    const std::vector<uint64_t>& cuts = pass.cuts().values;
    const size_t j = rank.class_index;
    ValueRange range{j == 0 ? 0 : cuts[j - 1], cuts[j] - 1, rank.in_class};
    const DeviceBuffer bins(group_.queue(), cuda::kBins * static_cast<int64_t>(sizeof(Count)));
    while (range.first < range.last) {
      bins.Zero();
      const cuda::HistogramArgs args = {
          group_.All(), pass.segments(), pass.stored(),   context().domain.uniform(),
          range.first,  range.last,      BinShift(range), bins.As<Count>()};
      group_.queue()->Run(group_.queue()->api().histogram, args);
      range = NarrowRange(range, Downloaded(*group_.queue(), bins.As<Count>(), cuda::kBins));
    }
    return range.first;
  }

  DeviceGroup group_;
};

}  // namespace

std::unique_ptr<Reader> MakeDeviceReader(const Device& device, const PassContext& context) {
  return std::make_unique<DeviceReader>(device, context);
}

}  // namespace secateur
