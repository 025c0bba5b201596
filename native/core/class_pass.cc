#include "core/class_pass.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>

#include "core/parallel.h"

namespace secateur {
namespace {

// Stored keys may take a quarter of the weights' size, between these bounds; a hundredth is usual.
constexpr int64_t kMostStoredBytes = int64_t{160} << 20;
constexpr int64_t kLeastStoredBytes = int64_t{32} << 20;
// A worker's first buffer holds what is usual, the next ones a few chunks' worth, in huge pages.
constexpr int64_t kFirstBufferBytes = 6 * kChunkBytes;
constexpr int64_t kBufferBytes = 8 * kChunkBytes;

}  // namespace

// Owned by one thread during the pass.
struct HostPass::Worker {
  std::vector<KeyBuffer> buffers;
  std::byte* free = nullptr;
  int64_t free_bytes = 0;
  bool storing = true;
  KeyBuffer scratch{kChunkBytes};

  std::byte* Room(int64_t bytes) {
    if (free_bytes < bytes) {
      const int64_t size = std::max(bytes, buffers.empty() ? kFirstBufferBytes : kBufferBytes);
      buffers.emplace_back(size);
      free = buffers.back().data();
      free_bytes = size;
    }
    return free;
  }
  void Take(int64_t bytes) {  // in steps of 64 bytes, so that keys of any width stay aligned
    const int64_t taken = std::min((bytes + 63) / 64 * 64, free_bytes);
    free += taken;
    free_bytes -= taken;
  }
};

template <class Key>
void HostPass::Classify(const PassContext& context, int64_t index, const std::byte* bytes,
                        Worker& worker) {
  const Chunk& chunk = context.chunks[index];
  const size_t cut_count = cuts_.values.size();
  std::array<Key, kMaxBounds> bounds;
  std::copy(bounds_[chunk.tensor].begin(), bounds_[chunk.tensor].end(), bounds.begin());
  const Classification<Key> classes{bounds.data(), static_cast<int>(cut_count), store_edges_};
  constexpr auto kKeyBytes = static_cast<int64_t>(sizeof(Key));
  Key* stored = nullptr;
  if (store_edges_ != 0 && worker.storing) {
    stored = reinterpret_cast<Key*>(worker.Room((chunk.count + kStoreSlack) * kKeyBytes));
  }
  const int64_t kept = context.backend.For<Key>().classify(bytes, chunk.count, classes,
                                                           &at_least_[index * cut_count], stored);
  if (stored == nullptr) return;
  segments_[index] = {reinterpret_cast<std::byte*>(stored), kept};
  worker.Take(kept * kKeyBytes);
}

std::vector<std::vector<uint64_t>> BoundsOf(const PassContext& context, const Cuts& cuts) {
  std::vector<std::vector<uint64_t>> all;
  for (const Tensor& tensor : context.tensors) {
    std::vector<uint64_t>& bounds = all.emplace_back();
    for (uint64_t cut : cuts.values) bounds.push_back(context.domain.ToKey(tensor, cut));
  }
  return all;
}

HostPass::HostPass(const PassContext& context, Cuts cuts)
    : ClassPass(std::move(cuts)),
      store_edges_(cuts_.StoreEdges()),
      bounds_(BoundsOf(context, cuts_)),
      at_least_(context.chunks.size() * cuts_.values.size()),
      segments_(context.chunks.size(), Segment{nullptr, 0}) {
  const int64_t most_stored =
      std::clamp(TotalBytes(context.tensors) / 4, kLeastStoredBytes, kMostStoredBytes);
  std::atomic<int64_t> stored_bytes{0};
  std::atomic<bool> overflowed{false};
  std::vector<Worker> workers(context.threads);
  ParallelFor(
      context.threads, static_cast<int64_t>(context.chunks.size()), [&](int64_t index, int w) {
        const Chunk& chunk = context.chunks[index];
        const int64_t element = ElementBytes(context.tensors[chunk.tensor].dtype);
        if (context.monitor) context.monitor->ThrowIfCancelled();
        const std::byte* bytes =
            chunk.source->Read(chunk.offset, chunk.count * element, workers[w].scratch.data());
        WithKeyType(element,
                    [&](auto key) { Classify<decltype(key)>(context, index, bytes, workers[w]); });
        if (context.monitor) context.monitor->Advance(chunk.count * element);
        const int64_t kept = segments_[index].count * element;
        if (stored_bytes.fetch_add(kept, std::memory_order_relaxed) + kept > most_stored) {
          overflowed.store(true, std::memory_order_relaxed);
        }
        workers[w].storing = !overflowed.load(std::memory_order_relaxed);
      });
  overflowed_ = overflowed.load(std::memory_order_relaxed);
  for (Worker& worker : workers) {
    std::move(worker.buffers.begin(), worker.buffers.end(), std::back_inserter(buffers_));
  }
  for (size_t chunk = 0; chunk < segments_.size(); ++chunk) {
    stored_count_ += segments_[chunk].count;
    for (size_t j = 0; j < totals_.size(); ++j)
      totals_[j] += AtLeast(static_cast<int64_t>(chunk), j);
  }
}

}  // namespace secateur
