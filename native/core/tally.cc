#include "core/tally.h"

#include <algorithm>
#include <array>

#include "core/parallel.h"

namespace secateur {
namespace {

// Thresholds found by one pass, few enough for one classification of the keys that it stored: three
// bounds each.
constexpr size_t kMostTogether = kMaxBounds / 3;
using Batch = std::vector<size_t>;  // indices in `found`

const HostPass& PassOf(const RankedWeight& found) {
  return static_cast<const HostPass&>(*found.pass);
}

std::vector<Batch> BatchesByPass(const std::vector<RankedWeight>& found) {
  std::vector<Batch> batches;
  for (size_t i = 0; i < found.size(); ++i) {
    const bool joins = !batches.empty() && batches.back().size() < kMostTogether &&
                       found[batches.back().front()].pass == found[i].pass;
    if (!joins) batches.emplace_back();
    batches.back().push_back(i);
  }
  return batches;
}

// Where a threshold's class begins, where its ties begin, and where they end.
struct Marks {
  uint64_t first;
  uint64_t begin;
  uint64_t end;
};

// The marks of a batch in the keys of one tensor, and all of them sorted, as bounds of a
// classification.
struct TensorBounds {
  std::vector<Marks> marks;
  std::vector<uint64_t> sorted;
};

TensorBounds BoundsFor(const PassContext& context, const Tensor& tensor,
                       const std::vector<RankedWeight>& found, const Batch& batch) {
  TensorBounds bounds;
  for (size_t i : batch) {
    const size_t j = found[i].class_index;
    const uint64_t first =
        j == 0 ? 0 : context.domain.ToKey(tensor, found[i].pass->cuts().values[j - 1]);
    const uint64_t begin = context.domain.ToKey(tensor, found[i].value);
    const uint64_t end = context.domain.ToKey(tensor, found[i].value + 1);
    bounds.marks.push_back({first, begin, end});
    bounds.sorted.insert(bounds.sorted.end(), {first, begin, end});
  }
  std::sort(bounds.sorted.begin(), bounds.sorted.end());
  return bounds;
}

// For each of bounds.sorted: the stored keys of the chunk that are at or above it.
template <class Key>
std::vector<int64_t> CountStored(const Backend& backend, const HostPass::Segment& stored,
                                 const TensorBounds& bounds) {
  std::array<Key, kMaxBounds> keys;
  std::copy(bounds.sorted.begin(), bounds.sorted.end(), keys.begin());
  std::vector<int64_t> at_least(bounds.sorted.size(), 0);
  const Classification<Key> classes{keys.data(), static_cast<int>(bounds.sorted.size()), 0};
  if (stored.count > 0)
    backend.For<Key>().classify(stored.keys, stored.count, classes, at_least.data(), nullptr);
  return at_least;
}

Tally TallyOne(const PassContext& context, const RankedWeight& at, int64_t index,
               const Marks& marks, const TensorBounds& bounds,
               const std::vector<int64_t>& stored_at_least) {
  const HostPass& pass = PassOf(at);
  const int64_t count = context.chunks[index].count;
  const size_t j = at.class_index;
  const int64_t from_class = j == 0 ? count : pass.AtLeast(index, j - 1);
  const int64_t after_class = j < pass.cuts().values.size() ? pass.AtLeast(index, j) : 0;
  if (!pass.cuts().stored[j]) return {count - from_class, from_class - after_class};
  const auto stored_from = [&](uint64_t key) {
    const auto at_key = std::lower_bound(bounds.sorted.begin(), bounds.sorted.end(), key);
    return stored_at_least[at_key - bounds.sorted.begin()];
  };
  const int64_t begin = stored_from(marks.begin);
  return {count - from_class + stored_from(marks.first) - begin, begin - stored_from(marks.end)};
}

}  // namespace

std::vector<std::vector<Tally>> TallyAll(const PassContext& context,
                                         const std::vector<RankedWeight>& found) {
  const auto chunks = static_cast<int64_t>(context.chunks.size());
  std::vector<std::vector<Tally>> tallies(found.size(), std::vector<Tally>(context.chunks.size()));
  for (const Batch& batch : BatchesByPass(found)) {
    const HostPass& pass = PassOf(found[batch.front()]);
    std::vector<TensorBounds> bounds;
    for (const Tensor& tensor : context.tensors)
      bounds.push_back(BoundsFor(context, tensor, found, batch));
    ParallelFor(
        ThreadsFor(pass.stored_count() * 4, context.threads), chunks, [&](int64_t index, int) {
          const int tensor = context.chunks[index].tensor;
          const std::vector<int64_t> stored =
              WithKeyType(ElementBytes(context.tensors[tensor].dtype), [&](auto type) {
                return CountStored<decltype(type)>(context.backend, pass.StoredBy(index),
                                                   bounds[tensor]);
              });
          for (size_t b = 0; b < batch.size(); ++b) {
            tallies[batch[b]][index] = TallyOne(context, found[batch[b]], index,
                                                bounds[tensor].marks[b], bounds[tensor], stored);
          }
        });
  }
  return tallies;
}

}  // namespace secateur
