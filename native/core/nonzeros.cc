#include "core/nonzeros.h"

#include <array>
#include <cstring>
#include <deque>

#include "core/key_buffer.h"
#include "core/parallel.h"

namespace secateur {
namespace {

void Nonzeros(const Backend& backend, int64_t element_bytes, const std::byte* weights,
              int64_t count, uint64_t* words) {
  auto* bits = reinterpret_cast<uint8_t*>(words);
  if (element_bytes == 2) return backend.kernels16.nonzeros(weights, bits, count);
  if (element_bytes == 4) return backend.kernels32.nonzeros(weights, bits, count);
  backend.kernels64.nonzeros(weights, bits, count);
}

}  // namespace

void FindNonzeros(const Backend& backend, const std::byte* weights, int64_t count,
                  int64_t element_bytes, ChunkBits& bits) {
  bits.words.assign(static_cast<size_t>((count + 63) / 64), 0);
  const int64_t whole = count / 64 * 64;
  Nonzeros(backend, element_bytes, weights, whole, bits.words.data());
  if (whole < count) {
    std::array<std::byte, 64 * sizeof(uint64_t)> tail{};
    std::memcpy(tail.data(), weights + whole * element_bytes,
                static_cast<size_t>((count - whole) * element_bytes));
    Nonzeros(backend, element_bytes, tail.data(), 64, &bits.words.back());
  }
  bits.nonzeros = 0;
  bits.first = bits.last = -1;
  for (size_t w = 0; w < bits.words.size(); ++w) {
    const uint64_t word = bits.words[w];
    if (word == 0) continue;
    const auto base = static_cast<int64_t>(w) * 64;
    if (bits.first < 0) bits.first = base + std::countr_zero(word);
    bits.last = base + 63 - std::countl_zero(word);
    bits.nonzeros += std::popcount(word);
  }
}

void ForChunks(const std::vector<Tensor>& tensors, const std::vector<Chunk>& chunks,
               const PackingOptions& options,
               const std::function<void(int64_t, const Chunk&, const std::byte*)>& body) {
  const int threads = ThreadsFor(TotalBytes(tensors), options.threads);
  std::deque<KeyBuffer> scratch;
  for (int worker = 0; worker < threads; ++worker) scratch.emplace_back(kChunkBytes);
  ParallelFor(threads, static_cast<int64_t>(chunks.size()), [&](int64_t i, int worker) {
    const Chunk& chunk = chunks[i];
    const int64_t bytes = chunk.count * ElementBytes(tensors[chunk.tensor].dtype);
    if (options.monitor) options.monitor->ThrowIfCancelled();
    body(i, chunk, chunk.source->Read(chunk.offset, bytes, scratch[worker].data()));
    if (options.monitor) options.monitor->Advance(bytes);
  });
}

}  // namespace secateur
