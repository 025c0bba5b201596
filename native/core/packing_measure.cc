// How large tensors would be when packed: one read, one look at each non-zero weight.
#include <algorithm>
#include <cstring>

#include "core/key_buffer.h"
#include "core/nonzeros.h"
#include "core/score.h"

namespace secateur {
namespace {

// What can be counted of a chunk without its neighbours.
struct Part {
  int64_t nonzeros = 0;
  int64_t first = -1;
  int64_t last = -1;
  int64_t codes8 = 0;  // of the distances inside
  int64_t codes4 = 0;
  int64_t index_bytes = 0;
  uint64_t largest_key = 0;
};

int64_t VarintBytes(int64_t value) {
  return (std::bit_width(static_cast<uint64_t>(value) | 1) + 6) / 7;
}

uint64_t LargestKey(const std::byte* weights, int64_t element_bytes, const ChunkBits& bits) {
  return WithKeyType(element_bytes, [&](auto key) -> uint64_t {
    using Key = decltype(key);
    constexpr auto kMagnitude = static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);
    Key largest = 0;
    ForNonzeros(bits, [&](int64_t i) {
      std::memcpy(&key, weights + i * static_cast<int64_t>(sizeof(Key)), sizeof(Key));
      largest = std::max(largest, static_cast<Key>(key & kMagnitude));
    });
    return largest;
  });
}

Part MeasureChunk(const Backend& backend, const Chunk& chunk, const std::byte* weights,
                  int64_t element_bytes, ChunkBits& bits) {
  FindNonzeros(backend, weights, chunk.count, element_bytes, bits);
  Part part;
  part.nonzeros = bits.nonzeros;
  if (bits.nonzeros == 0) return part;
  part.first = chunk.first + bits.first;
  part.last = chunk.first + bits.last;
  int64_t before = -1;
  ForNonzeros(bits, [&](int64_t i) {
    if (before >= 0) {
      part.codes8 += kGapCode8.CodesOf(i - before);
      part.codes4 += kGapCode4.CodesOf(i - before);
    }
    before = i;
    part.index_bytes += VarintBytes(chunk.first + i);
  });
  part.largest_key = LargestKey(weights, element_bytes, bits);
  return part;
}

// The distance across a border between chunks, or to the tensor's end.
void AddDistance(PackingSizes& sizes, int64_t from, int64_t to) {
  if (from < 0) return;
  sizes.codes8 += kGapCode8.CodesOf(to - from);
  sizes.codes4 += kGapCode4.CodesOf(to - from);
}

}  // namespace

std::vector<PackingSizes> MeasurePacking(const std::vector<Tensor>& tensors,
                                         const PackingOptions& options) {
  const Backend& backend = options.backend ? *options.backend : ActiveBackend();
  const std::vector<Chunk> chunks = MakeChunks(tensors);
  std::vector<Part> parts(chunks.size());
  if (options.monitor) options.monitor->Begin(Phase::kCount, TotalBytes(tensors));
  ForChunks(tensors, chunks, options, [&](int64_t i, const Chunk& chunk, const std::byte* weights) {
    ChunkBits bits;
    const int64_t element = ElementBytes(tensors[chunk.tensor].dtype);
    parts[i] = MeasureChunk(backend, chunk, weights, element, bits);
  });
  std::vector<PackingSizes> sizes(tensors.size());
  std::vector<int64_t> last(tensors.size(), -1);
  std::vector<uint64_t> largest(tensors.size(), 0);
  for (size_t i = 0; i < chunks.size(); ++i) {
    const Part& part = parts[i];
    if (part.nonzeros == 0) continue;
    const int t = chunks[i].tensor;
    sizes[t].nonzeros += part.nonzeros;
    sizes[t].codes8 += part.codes8;
    sizes[t].codes4 += part.codes4;
    sizes[t].index_bytes += part.index_bytes;
    AddDistance(sizes[t], last[t], part.first);
    last[t] = part.last;
    largest[t] = std::max(largest[t], part.largest_key);
  }
  for (size_t t = 0; t < tensors.size(); ++t) {
    AddDistance(sizes[t], last[t], tensors[t].count);
    sizes[t].largest = KeyValue(tensors[t].dtype, largest[t]);
  }
  return sizes;
}

}  // namespace secateur
