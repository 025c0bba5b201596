#include "core/values.h"

#include <array>
#include <utility>

#include "core/host_reader.h"
#include "core/rank.h"

namespace secateur {
namespace {

// As few keys are sorted outright. With more than a few ranks their brackets would hold most of a
// small problem, so that a larger one is sorted too.
constexpr int64_t kSortable = 4096;
constexpr size_t kFewRanks = 4;
constexpr int64_t kSortableForMany = 160000;

uint64_t KeyAt(const std::byte* keys, int64_t index, int64_t element) {
  return WithKeyType(element, [&](auto type) -> uint64_t {
    return reinterpret_cast<const decltype(type)*>(keys)[index];
  });
}

// Least significant digit first; digits that are the same everywhere cost nothing but the look.
void RadixSort(std::vector<uint64_t>& values) {
  constexpr int kBits = 11;
  constexpr size_t kDigits = size_t{1} << kBits;
  std::vector<uint64_t> other(values.size());
  uint64_t differing = 0;
  for (uint64_t value : values) differing |= value ^ values[0];
  for (int shift = 0; shift < 64; shift += kBits) {
    if (((differing >> shift) & (kDigits - 1)) == 0) continue;
    std::array<size_t, kDigits> next{};
    for (uint64_t value : values) ++next[(value >> shift) & (kDigits - 1)];
    size_t sum = 0;
    for (size_t& place : next) place = std::exchange(sum, sum + place);
    for (uint64_t value : values) other[next[(value >> shift) & (kDigits - 1)]++] = value;
    values.swap(other);
  }
}

}  // namespace

std::vector<uint64_t> SortedValues(const PassContext& context, int64_t count,
                                   const std::vector<int64_t>& ranks) {
  std::vector<uint64_t> values;
  values.reserve(count);
  for (const Chunk& chunk : context.chunks) {
    const Tensor& tensor = context.tensors[chunk.tensor];
    const int64_t element = ElementBytes(tensor.dtype);
    const std::byte* keys = chunk.source->Read(chunk.offset, chunk.count * element, nullptr);
    for (int64_t i = 0; i < chunk.count; ++i) {
      values.push_back(context.domain.FromKey(tensor, KeyAt(keys, i, element)));
    }
  }
  RadixSort(values);
  std::vector<uint64_t> found;
  for (int64_t rank : ranks) found.push_back(values[rank]);
  return found;
}

std::vector<uint64_t> ValuesOfRanks(const PassContext& context, int64_t count,
                                    const std::vector<int64_t>& ranks) {
  const int64_t sortable = ranks.size() > kFewRanks ? kSortableForMany : kSortable;
  if (count <= sortable) return SortedValues(context, count, ranks);
  std::vector<uint64_t> found;
  for (const RankedWeight& at : FindRanks(HostReader(context), count, ranks, true))
    found.push_back(at.value);
  return found;
}

}  // namespace secateur
