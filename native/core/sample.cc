#include "core/sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/parallel.h"
#include "core/sample_places.h"

namespace secateur {
namespace {

constexpr int64_t kBlock = kSampleBlock;

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

// Reads blocks of keys at given positions into the sample. Memory answers a dozen scattered
// requests in the time of one, so a batch of blocks is asked for before the first is looked at.
class BlockReader {
 public:
  BlockReader(const std::vector<Place>& places, const KeyDomain& domain)
      : places_(places), domain_(domain), target_(ElementBytes(domain.dtype())) {}

  static constexpr int64_t kBatch = 32;

  // Blocks [0, count) of a batch, at `positions`, to `out`.
  void Copy(const int64_t* positions, int64_t count, std::byte* out) {
    for (int64_t block = 0; block < count; ++block) Request(block, positions[block]);
    for (int64_t block = 0; block < count; ++block) Convert(block, out + block * kBlock * target_);
  }

 private:
  struct Pending {
    const Place* place;
    const std::byte* bytes;
    int64_t count;
  };

  void Request(int64_t block, int64_t position) {
    const auto after = std::upper_bound(places_.begin(), places_.end(), position,
                                        [](int64_t p, const Place& at) { return p < at.first; });
    const Place& place = *(after - 1);
    const int64_t element = ElementBytes(place.tensor->dtype);
    const int64_t count = std::min(kBlock, place.count);
    const int64_t start = SampleStart(position - place.first, place.count);
    std::byte* scratch = scratch_.data() + block * kBlock * kWidest;
    const std::byte* bytes =
        place.run->source->Read(place.run->offset + start * element, count * element, scratch);
    __builtin_prefetch(bytes);
    __builtin_prefetch(bytes + count * element - 1);
    requests_[block] = {&place, bytes, count};
  }

  // A run shorter than a block is repeated: it is a small part of the group all the same.
  void Convert(int64_t block, std::byte* out) const {
    const auto& [place, bytes, count] = requests_[block];
    const int64_t element = ElementBytes(place->tensor->dtype);
    for (int64_t i = 0; i < kBlock; ++i) {
      const int64_t index = count == kBlock ? i : i % count;
      const uint64_t value = domain_.FromKey(*place->tensor, KeyAt(bytes, index, element));
      std::memcpy(out + i * target_, &value, static_cast<size_t>(target_));
    }
  }

  static constexpr int64_t kWidest = 8;
  const std::vector<Place>& places_;
  const KeyDomain& domain_;
  int64_t target_;
  std::array<Pending, kBatch> requests_;
  std::array<std::byte, kBatch * kBlock * kWidest> scratch_;
};

}  // namespace

int64_t SampleSize(int64_t count) {
  // Of keys in the cache a sample costs next to nothing; of weights in memory every block costs a
  // page look-up.
  constexpr int64_t kCached = int64_t{1} << 24;
  const double coefficient = count <= kCached ? 2 : 0.5;
  const double size = coefficient * std::pow(static_cast<double>(count), 2.0 / 3.0);
  return std::clamp<int64_t>(static_cast<int64_t>(size), 1024, int64_t{1} << 23) / kBlock * kBlock;
}

Sample TakeSample(const std::vector<Tensor>& tensors, const KeyDomain& domain, int64_t count,
                  int threads) {
  constexpr int64_t kBlocksPerItem = 32 * BlockReader::kBatch;
  const std::vector<Place> places = Places(tensors);
  const int64_t size = SampleSize(count);
  const int64_t blocks = size / kBlock;
  const int64_t block_bytes = kBlock * ElementBytes(domain.dtype());
  Sample sample{KeyBuffer(blocks * block_bytes), size};
  ParallelFor(threads, (blocks + kBlocksPerItem - 1) / kBlocksPerItem, [&](int64_t item, int) {
    BlockReader reader(places, domain);
    const int64_t end = std::min(blocks, (item + 1) * kBlocksPerItem);
    for (int64_t begin = item * kBlocksPerItem; begin < end; begin += BlockReader::kBatch) {
      const int64_t batch = std::min(end - begin, BlockReader::kBatch);
      std::array<int64_t, BlockReader::kBatch> positions;
      for (int64_t i = 0; i < batch; ++i) positions[i] = SamplePosition(begin + i, blocks, count);
      reader.Copy(positions.data(), batch, sample.buffer.data() + begin * block_bytes);
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
