#include "core/sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/parallel.h"

namespace secateur {
namespace {

constexpr int64_t kBlock = 8;  // weights; two cache misses at most, little correlation between neighbours

uint64_t Mix(uint64_t x) {  // the finaliser of splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Runs with the position of their first element in the whole group.
struct Place {
  int64_t first;
  int64_t count;
  const Tensor* tensor;
  const Run* run;
};

std::vector<Place> Places(const std::vector<Tensor>& tensors) {
  std::vector<Place> places;
  int64_t first = 0;
  for (const Tensor& tensor : tensors) {
    for (const Run& run : tensor.runs) {
      const int64_t count = run.bytes / ElementBytes(tensor.dtype);
      if (count > 0) places.push_back({first, count, &tensor, &run});
      first += count;
    }
  }
  return places;
}

uint64_t KeyAt(const std::byte* bytes, int64_t index, int64_t element) {
  uint64_t bits = 0;
  std::memcpy(&bits, bytes + index * element, static_cast<size_t>(element));
  return bits & (~uint64_t{0} >> (65 - 8 * element));
}

// Copies one block of keys that begins at or shortly before `position`, into the sample at `out`.
void CopyBlock(const std::vector<Place>& places, int64_t position, const KeyDomain& domain, std::byte* out) {
  auto place = std::upper_bound(places.begin(), places.end(), position,
                                [](int64_t p, const Place& at) { return p < at.first; }) - 1;
  const int64_t element = ElementBytes(place->tensor->dtype);
  const int64_t target = ElementBytes(domain.dtype());
  std::array<std::byte, kBlock * 8> scratch;
  for (int64_t done = 0; done < kBlock;) {
    const int64_t count = std::min(kBlock - done, place->count);
    const int64_t start = std::clamp<int64_t>(position - place->first, 0, place->count - count);
    const std::byte* bytes =
        place->run->source->Read(place->run->offset + start * element, count * element, scratch.data());
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t value = domain.FromKey(*place->tensor, KeyAt(bytes, i, element));
      std::memcpy(out + (done + i) * target, &value, static_cast<size_t>(target));
    }
    done += count;
  }
}

}  // namespace

int64_t SampleSize(int64_t count) {
  const double size = 0.35 * std::pow(static_cast<double>(count), 2.0 / 3.0);
  return std::clamp<int64_t>(static_cast<int64_t>(size), 1024, int64_t{1} << 23) / kBlock * kBlock;
}

Sample TakeSample(const std::vector<Tensor>& tensors, const KeyDomain& domain, int64_t count, int threads) {
  constexpr int64_t kBlocksPerItem = 1024;
  const std::vector<Place> places = Places(tensors);
  const int64_t size = SampleSize(count);
  const int64_t blocks = size / kBlock;
  const int64_t target = ElementBytes(domain.dtype());
  Sample sample{KeyBuffer(size * target), size};
  ParallelFor(threads, (blocks + kBlocksPerItem - 1) / kBlocksPerItem, [&](int64_t item, int) {
    const int64_t end = std::min(blocks, (item + 1) * kBlocksPerItem);
    for (int64_t block = item * kBlocksPerItem; block < end; ++block) {
      const double stretch = static_cast<double>(count) / static_cast<double>(blocks);
      const double jitter = static_cast<double>(Mix(static_cast<uint64_t>(block)) >> 11) * 0x1p-53;
      const auto position = static_cast<int64_t>((static_cast<double>(block) + jitter) * stretch);
      CopyBlock(places, std::min(position, count - 1), domain,
                sample.buffer.data() + block * kBlock * target);
    }
  });
  return sample;
}

SampleRanks BracketRanks(int64_t rank, int64_t count, int64_t sampled, double deviations) {
  const double fraction = (static_cast<double>(rank) + 0.5) / static_cast<double>(count);
  const auto size = static_cast<double>(sampled);
  const double centre = fraction * size;
  const double spread = deviations * std::sqrt(size * fraction * (1 - fraction)) + 1;
  return {std::max<int64_t>(-1, static_cast<int64_t>(std::floor(centre - spread))),
          std::min<int64_t>(sampled, static_cast<int64_t>(std::ceil(centre + spread)))};
}

}  // namespace secateur
