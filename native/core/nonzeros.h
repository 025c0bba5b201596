// Which elements of a list of tensors have values, a chunk at a time, as bits.
#ifndef SECATEUR_CORE_NONZEROS_H_
#define SECATEUR_CORE_NONZEROS_H_

#include <bit>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/chunks.h"
#include "secateur/packing.h"

namespace secateur {

// The bits of one chunk; past its end they are 0.
struct ChunkBits {
  std::vector<uint64_t> words;
  int64_t nonzeros = 0;
  int64_t first = -1;  // position in the chunk, or -1
  int64_t last = -1;
};

// Fills `bits` for `count` elements of `element_bytes` each.
void FindNonzeros(const Backend& backend, const std::byte* weights, int64_t count,
                  int64_t element_bytes, ChunkBits& bits);

// Calls body(position) for each bit set, in order.
template <class Body>
void ForNonzeros(const ChunkBits& bits, const Body& body) {
  for (size_t w = 0; w < bits.words.size(); ++w) {
    for (uint64_t word = bits.words[w]; word != 0; word &= word - 1) {
      body(static_cast<int64_t>(w) * 64 + std::countr_zero(word));
    }
  }
}

// The same from the last to the first.
template <class Body>
void ForNonzerosBackward(const ChunkBits& bits, const Body& body) {
  for (size_t w = bits.words.size(); w-- > 0;) {
    for (uint64_t word = bits.words[w]; word != 0;) {
      const int bit = 63 - std::countl_zero(word);
      word ^= uint64_t{1} << bit;
      body(static_cast<int64_t>(w) * 64 + bit);
    }
  }
}

// Reads every chunk once, in parallel: body(index, chunk, weights).
void ForChunks(const std::vector<Tensor>& tensors, const std::vector<Chunk>& chunks,
               const PackingOptions& options,
               const std::function<void(int64_t, const Chunk&, const std::byte*)>& body);

}  // namespace secateur

#endif  // SECATEUR_CORE_NONZEROS_H_
